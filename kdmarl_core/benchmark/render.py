"""Renders the templates in ``templates/``, and their number formats."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, UndefinedError, select_autoescape

DECIMALS = 3
"""Of retentions and figures."""


class MissingError(Exception):
    """A template uses a value that the data lack; the message is its name."""


class _Missing(StrictUndefined):
    """Raises on every use, also in a format string, with the variable's name."""

    @property
    def _undefined_message(self) -> str:
        return repr(self._undefined_name)

    def __format__(self, how: str) -> str:
        self._fail_with_undefined_error()


def render(template: str, **data: Any) -> str:
    """The text of a template.

    Args:
        template: its name, such as ``page``.
        data: its variables.

    Raises:
        MissingError: a variable is missing.
    """
    try:
        return _ENVIRONMENT.get_template(f"{template}.md.j2").render(**data)
    except UndefinedError as error:
        raise MissingError(str(error)) from None


def score(interval: dict[str, Any]) -> str:
    """Such as ``0.957 [0.941, 0.972]``; without an interval of zero width, and ``none`` without a value."""
    value, low, high = (interval[key] for key in ("iqm", "low", "high"))
    if value is None or low == high:
        return figure(value)
    return f"{figure(value)} [{figure(low)}, {figure(high)}]"


def figure(value: float | None) -> str:
    """Such as ``0.957``; ``none`` without a value."""
    return "none" if value is None else f"{value:.{DECIMALS}f}"


def pair(key: str, row: dict[str, Any]) -> str:
    """The expert's figure and the students', such as ``0.843 → 0.863``; empty if ``row`` has none."""
    return f"{figure(row[f'expert_{key}'])} → {figure(row[key])}" if key in row else ""


def signed(value: float, decimals: int = DECIMALS) -> str:
    """Such as ``+0.029``."""
    return f"{value:+.{decimals}f}"


def decimals(value: float, count: int) -> str:
    """With ``count`` decimals."""
    return f"{value:.{count}f}"


def plain(value: float) -> str:
    """With the shortest number of decimals."""
    return f"{value:g}"


def times(value: float) -> str:
    """A ratio, such as ``30.5x``."""
    return f"{value:.1f}x"


def thousands(value: float) -> str:
    """A whole number, such as ``83,712``."""
    return f"{value:,.0f}"


def percent(share: float) -> str:
    """Such as ``88 %``."""
    return f"{100 * share:.0f} %"


def code(name: str) -> str:
    """As inline code in Markdown."""
    return f"`{name}`"


def cells(texts: Iterable[object]) -> str:
    """Cells of a table row, each followed by a bar."""
    return "".join(f" {text} |" for text in texts)


def rule(columns: int) -> str:
    """The line below a table's header."""
    return f"|{cells(['---'] * columns)}"


_ENVIRONMENT = Environment(
    loader=PackageLoader("kdmarl_core.benchmark"),
    autoescape=select_autoescape(),  # of HTML only
    undefined=_Missing,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
for _filter in (score, figure, pair, signed, decimals, plain, times, thousands, percent, code, cells):
    _ENVIRONMENT.filters[_filter.__name__] = _filter
_ENVIRONMENT.globals["rule"] = rule
