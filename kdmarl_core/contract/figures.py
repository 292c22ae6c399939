"""The figures of episodes and runs: one table of their names, units and titles, for whatever prints or records them."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Figure(NamedTuple):
    """One figure of an agent in an episode, or of a robot in a run."""

    name: str
    """in environments' episodes, ``evaluation.json``, files of results and, if recorded, a policy file's ``results``"""
    title: str
    """as tables head it"""
    better: Literal["more", "less"]
    unit: str = ""
    """none for shares and counts"""
    form: str = ".3f"
    """how one run's value is shown"""
    per: str = ""
    """what a mean is over, where that is not plain"""
    recorded: bool = False
    """policy files carry it, and the expert's: fields ``<name>`` and ``expert_<name>``"""
    evaluated: bool = False
    """``kdmarl evaluate`` prints it where a task has it"""
    compared: bool = False
    """a benchmark's page shows it where a task has it"""

    @property
    def heading(self) -> str:
        """Title and unit, for a column of plain numbers."""
        return f"{self.title} [{self.unit}]" if self.unit else self.title

    def show(self, value: float | None) -> str:
        """One run's value with its unit; a dash for None."""
        return "–" if value is None else f"{value:{self.form}} {self.unit}".rstrip()


WIN_RATE = Figure("win_rate", "won", "more", recorded=True, evaluated=True, compared=True)
SUCCESS = Figure("success", "at goal", "more", recorded=True, evaluated=True, compared=True)
COVERED = Figure("covered", "covered", "more", recorded=True, evaluated=True, compared=True)
COLLISIONS = Figure(
    "collisions", "collisions", "less", form=".0f", per="robot-episode", recorded=True, evaluated=True, compared=True
)
TIME_TO_GOAL = Figure("time_to_goal", "time to goal", "less", "s", ".1f", evaluated=True)
BLOCKED = Figure("blocked", "blocked", "less", "s", ".1f", compared=True)
FOCUS_FIRE = Figure("focus_fire", "focus fire", "more", evaluated=True, compared=True)
CLEARANCE = Figure("clearance", "min clearance", "more", "m", ".2f")
PATH_LENGTH = Figure("path_length", "path", "less", "m", ".1f")
STOPS = Figure("stops", "stops", "less", form=".0f")

FIGURES = (
    WIN_RATE, SUCCESS, COVERED, COLLISIONS, TIME_TO_GOAL, BLOCKED, FOCUS_FIRE, CLEARANCE, PATH_LENGTH, STOPS,
)  # fmt: skip
"""In the order of tables' columns."""
RECORDED = tuple(figure for figure in FIGURES if figure.recorded)
EVALUATED = {figure.name: figure.heading for figure in FIGURES if figure.evaluated}
"""Name → heading."""
COMPARED = {figure.name: figure.heading for figure in FIGURES if figure.compared}
"""Name → heading."""
