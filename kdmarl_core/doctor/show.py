"""Findings on a console."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.text import Text

from kdmarl_core.doctor.findings import Finding
from kdmarl_core.errors import printable

STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def show(console: Console, findings: Iterable[Finding]) -> int:
    """Print the findings as they come, one per line, and return 1 if something fails, else 0."""
    worst = 0
    for finding in findings:
        console.print(Text.assemble((f"{finding.level:4}  ", STYLES[finding.level]), printable(finding.text)))
        worst = max(worst, int(finding.level == "fail"))
    return worst
