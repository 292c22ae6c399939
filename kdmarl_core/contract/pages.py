"""Sections of a Markdown page that a command makes from a file of results, between marks that name the file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from kdmarl_core.contract.writing import replacing

BEGIN = "<!-- begin from {} -->"
"""The line before what is made from a file; no character of it is special to regular expressions."""


def marks(source: str) -> tuple[str, str]:
    """The lines before and after what is made from the file ``source``."""
    return BEGIN.format(source), f"<!-- end from {source} -->"


def sources(text: str, file: str) -> list[str]:
    """Those that begin with the name of ``file``, of all that marks of the page ``text`` name."""
    return re.findall(BEGIN.format(f"({re.escape(file)}.*?)"), text)


def with_section(text: str, source: str, lines: Sequence[str]) -> str | None:
    """The page ``text`` with ``lines`` between the marks of ``source``; None if it has no such marks."""
    begin, end = marks(source)
    marked = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if not marked.search(text):
        return None
    return marked.sub(lambda _: "\n".join([begin, *lines, end]), text)


def write_section(page: Path, source: str, lines: Sequence[str], title: str) -> None:
    """Put ``lines`` between the marks of ``source`` in ``page``, at its end if there are none yet.

    Args:
        page: made, with ``title`` at its head, if it is not there.
        source: name of the file that the section is made from.
        lines: of the section.
        title: lines that a new page begins with.

    Raises:
        KdmarlError: the page cannot be written; it is what it was before.
    """
    text = page.read_text(encoding="utf-8") if page.exists() else title
    written = with_section(text, source, lines)
    if written is None:
        begin, end = marks(source)
        written = "\n".join([text.rstrip(), "", begin, *lines, end, ""])
    with replacing(page) as scratch:
        scratch.write_text(written, encoding="utf-8")
