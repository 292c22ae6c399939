"""What ``kdmarl report`` does: a benchmark's page, picture and README table, from its result file alone.

This module computes what the page shows; its text is in ``templates/``.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from rich.console import Console

from kdmarl_core.benchmark import intervals, ledger
from kdmarl_core.benchmark.ledger import Bar, Ledger
from kdmarl_core.benchmark.render import MissingError, render, score
from kdmarl_core.benchmark.retention_figure import draw
from kdmarl_core.contract import KdmarlError
from kdmarl_core.contract.figures import COMPARED as FIGURES
from kdmarl_core.contract.pages import marks, sources, with_section
from kdmarl_core.contract.writing import replacing
from kdmarl_core.errors import did_you_mean

MATCHES = 0.95
"""Retention that a network trained without an expert must reach to be listed."""
ENOUGH_SEEDS = 4
"""Minimum number of seeds for the interval to decide whether a bar is held."""

View = dict[str, Any]
"""Variables of a template"""


def report(results: Path, readme: Path | None) -> None:
    """Write ``<results>.md`` and ``<results>.png``, and tables in ``readme`` between their marks.

    A mark names only the file, for the first method's table, or ``<results>.json: methods`` or
    ``<results>.json: against``.

    Raises:
        KdmarlError: the file has no results, or the README has no marks or unknown ones.
    """
    if not results.exists():
        raise KdmarlError(f"{results}: no such file; kdmarl benchmark makes it")
    recorded = ledger.load(results)
    if not recorded.rows:
        raise KdmarlError(f"{results}: has no results yet; run kdmarl benchmark until it is finished")
    page, picture, name = results.with_suffix(".md"), results.with_suffix(".png"), results.name
    try:
        view = _page(recorded, results)
        text = render("page", **view)
        tables = {
            name: render("headline", **view).splitlines(),
            f"{name}: methods": render("methods", **view).splitlines(),
            f"{name}: against": render("against", **view).splitlines(),
        }
        with replacing(picture) as scratch:
            draw(recorded, scratch)
    except (KeyError, MissingError) as error:
        raise KdmarlError(f"{results}: a row lacks {error}; run kdmarl benchmark to recompute the rows") from None
    with replacing(page) as scratch:
        scratch.write_text(text, encoding="utf-8")
    written = [page, picture]
    if readme:
        _renew(readme, name, tables)
        written.append(readme)
    Console().print(f"written: {', '.join(map(str, written))}")


def _page(recorded: Ledger, results: Path) -> View:
    """All template variables; a section without content is empty."""
    return {
        "recorded": recorded,
        "command": recorded.rows[0]["command"].partition(" --only")[0],
        "results": results,
        "picture": results.with_suffix(".png").name,
        "first": recorded.methods[0],
        "measured": sum(len(row["seeds"]) for row in recorded.team_rows),
        "confidence": intervals.CONFIDENCE,
        "mean_tasks": intervals.MEAN_TASKS if recorded.against else (),
        "seed_counts": _seed_counts(recorded),
        "episodes": sorted({unit.episodes for unit in recorded.units}),
        "figure_titles": FIGURES,
        "headline": _headline(recorded),
        "enough_seeds": ENOUGH_SEEDS,
        "bars": _bars(recorded),
        "methods": _methods(recorded),
        "still": _from_still(recorded),
        "leads": {row["method"]: _led(row, recorded.leads.get(row["method"])) for row in recorded.against},
        "matches": MATCHES,
        "from_scratch": _from_scratch(recorded),
    }


def _seed_counts(recorded: Ledger) -> list[View]:
    """For each number of seeds in the rows, how retention and its interval are computed."""
    return [
        {
            "seeds": count,
            "averaged": intervals.averaged(count),
            "spans_all": intervals.spans_all(count),
            "coverage": intervals.COVERAGE.get(count),
        }
        for count in sorted({len(row["seeds"]) for row in recorded.team_rows})
    ]


def _headline(recorded: Ledger) -> View:
    """The first method, one row per task."""
    rows = [row for row in recorded.team_rows if row["method"] == recorded.methods[0]]
    return {
        "rows": rows,
        "figures": {key: title for key, title in FIGURES.items() if any(key in row for row in rows)},
        "still": any("still_return" in row for row in rows),
        "win_error": max((error for row in rows for error in _win_errors(recorded, row)), default=None),
    }


def _win_errors(recorded: Ledger, row: View) -> list[float]:
    """Standard errors of the win rates of expert and students, as binomial proportions of the episodes."""
    of = [unit for unit in recorded.units if (unit.task, unit.method) == (row["task"], row["method"])]
    rates = [rate for key in ("win_rate", "expert_win_rate") if (rate := row.get(key)) is not None]
    return [math.sqrt(rate * (1 - rate) / unit.episodes) for rate in rates for unit in of]


def _bars(recorded: Ledger) -> list[View]:
    """The methods' bars, and the rows of tasks by :func:`_verdict`."""
    found = []
    for method, bar in recorded.bars.items():
        rows: dict[str, list[View]] = {"held": [], "in_doubt": [], "few_seeds": [], "missed": []}
        for row in recorded.team_rows:
            if row["method"] == method:
                rows[_verdict(row, bar)].append(row)
        if any(rows.values()):
            found.append({"method": method, "bar": bar, "rows": rows})
    return found


def _verdict(row: View, bar: Bar) -> str:
    if row["retention"]["iqm"] < bar.retention or row["macs_ratio"] < bar.macs_ratio:
        return "missed"
    if len(row["seeds"]) < ENOUGH_SEEDS:
        return "few_seeds"
    return "held" if row["retention"]["low"] >= bar.retention else "in_doubt"


def _methods(recorded: Ledger) -> View:
    """Retention of the team by task and method; the longer of the two lists becomes the lines."""
    tasks, methods = recorded.tasks, recorded.methods
    retentions = {
        (row["task"], row["method"]): score(row["retention"]) + (f" ({n})" if (n := len(row["seeds"])) > 1 else "")
        for row in recorded.team_rows
    }
    if len(methods) > len(tasks):
        lines = [[f"`{method}`", *(retentions.get((task, method), "") for task in tasks)] for method in methods]
        return {"head": ["method", *tasks], "lines": lines}
    lines = [[task, *(retentions.get((task, method), "") for method in methods)] for task in tasks]
    return {"head": ["task", *(f"`{method}`" for method in methods)], "lines": lines}


def _from_still(recorded: Ledger) -> list[View]:
    """Retention with a team that does not move as zero, by task; empty without robot tasks."""
    rows = {(row["task"], row["method"]): row for row in recorded.team_rows if "still_return" in row}
    found = []
    for task in dict.fromkeys(task for task, _ in rows):
        any_row = next(row for (of, _), row in rows.items() if of == task)
        random, still, expert = (any_row[key] for key in ("random_return", "still_return", "expert_return"))
        retentions = [
            score(rows[task, method]["retention_from_still"]) if (task, method) in rows else ""
            for method in recorded.methods
        ]
        worth = (still - random) / (expert - random)
        found.append({"task": task, "return": still, "worth": worth, "retentions": retentions})
    return found


def _led(row: View, lead: float | None) -> str:
    """Whether the first method has the required lead; empty if none is required."""
    if lead is None:
        return ""
    if row["difference"] <= lead:
        return "missed"
    surely = row["low"] is not None and row["low"] > lead
    return "held" if surely else "held, not surely"


def _from_scratch(recorded: Ledger) -> list[View]:
    """The smallest sufficient network trained without an expert, by task, else the best; empty if there are none."""
    stages = recorded.notes.get("stages", {})
    own = [row for row in recorded.team_rows if stages.get(row["method"], "distill") != "distill"]
    found = []
    for task in dict.fromkeys(row["task"] for row in own):
        tried = [row for row in own if row["task"] == task]
        good = [row for row in tried if row["retention"]["iqm"] >= MATCHES]
        best = min(good, key=lambda row: row["macs"]) if good else max(tried, key=lambda row: row["retention"]["iqm"])
        found.append({"task": task, "matches": bool(good), "best": best, "tried": tried})
    return found


def _renew(readme: Path, name: str, tables: dict[str, list[str]]) -> None:
    """Put ``tables`` between their marks in ``readme``, where it has any; all marks begin with the file's ``name``."""
    try:
        text = readme.read_text(encoding="utf-8")
    except OSError as error:
        raise KdmarlError(f"{readme}: cannot be read ({error.strerror}); check the path") from None
    marked = sources(text, name)
    if not marked:
        begin, end = marks(name)
        raise KdmarlError(f"{readme}: has no lines '{begin}' and '{end}'; add them where the table belongs")
    for source in marked:
        begin, end = marks(source)
        if source not in tables:
            raise KdmarlError(f"{readme}: '{begin}' does not name a table; {did_you_mean(source, tables)}")
        renewed = with_section(text, source, tables[source])
        if renewed is None:
            raise KdmarlError(f"{readme}: has '{begin}' without '{end}'; add it after the table")
        text = renewed
    with replacing(readme) as scratch:
        scratch.write_text(text, encoding="utf-8")
