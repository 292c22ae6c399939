"""Shows the output of a swarm's processes line by line on one terminal."""

from __future__ import annotations

import contextlib

from rich.console import Console
from rich.text import Text

from kdmarl_ros.swarm.plan import JUDGE
from kdmarl_ros.swarm.supervisor import Show

STYLES = ("cyan", "green", "yellow", "magenta", "blue", "bright_cyan", "bright_green", "bright_magenta")


class _Output(Console):
    """Standard output; a broken pipe ends the run in order, not at once."""

    def on_broken_pipe(self) -> None:
        with contextlib.suppress(SystemExit):
            super().on_broken_pipe()
        raise BrokenPipeError


def show_lines(names: list[str]) -> Show:
    """Print lines with the process's name in its colour; the judge's, which are about the whole run, without a name."""
    console = _Output(soft_wrap=True, highlight=False)
    width = max(len(name) for name in names)
    styles = {name: STYLES[index % len(STYLES)] for index, name in enumerate(names)}

    def show(name: str, line: str) -> None:
        prefix = "" if name == JUDGE else f"{name:>{width}} | "
        console.print(Text.assemble((prefix, styles[name]), line))

    return show
