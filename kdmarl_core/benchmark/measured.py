"""What one unit of a benchmark measured, agent by agent, and what students of one type or the whole team retain."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import msgspec
import numpy as np

TEAM = "team"
"""Name of the whole team, in addition to those of robot types."""
Means = dict[str, list[float | None]]
"""Figure → mean of each agent over episodes; None if no episode has a value, such as for a goal never reached"""


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """Cost of one decision of one type."""

    macs: int
    expert_macs: int
    parameters: int
    bytes: int
    """of weights"""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """What one unit measured: one method on one task with one seed."""

    task: str
    method: str
    seed: int
    sha256: str
    """shortened hash of what the figures depend on"""
    commit: str
    command: str
    episodes: int
    students: Means
    expert: Means
    random: Means
    types: dict[str, list[int]]
    """robot type → its agents' indices"""
    costs: dict[str, Cost]
    env_steps: dict[str, int]
    seconds: dict[str, float]

    @property
    def name(self) -> str:
        """Such as ``spread/kdmarl/1``."""
        return f"{self.task}/{self.method}/{self.seed}"

    def agents(self, student: str) -> list[int]:
        """The indices of one type's agents, or of the whole team's."""
        return self.types[student] if student != TEAM else sorted(itertools.chain(*self.types.values()))

    def mean(self, who: str, figure: str, student: str) -> float:
        """Mean of a figure of ``students``, ``expert`` or ``random`` over the agents that have it; NaN if none has."""
        return over_agents(getattr(self, who), figure, self.agents(student))

    def retention(self, student: str, zero: Means | None = None) -> float:
        """(student − zero) / (expert − zero) of mean returns; zero is random commands unless given.

        NaN if the expert is no better than zero: there is nothing to retain.
        """
        agents = self.agents(student)
        teams = (self.students, self.expert, zero or self.random)
        own, expert, low = (over_agents(means, "return", agents) for means in teams)
        return (own - low) / (expert - low) if expert > low else math.nan

    @property
    def worst(self) -> float:
        """Lowest retention of any agent, among those whose expert is better than random commands."""
        own, expert, random = (with_nan(getattr(self, who)["return"]) for who in ("students", "expert", "random"))
        own, expert, random = (values[expert > random] for values in (own, expert, random))
        return float(((own - random) / (expert - random)).min()) if own.size else math.nan


def agent_means(values: np.ndarray) -> list[float | None]:
    """(episodes, N) → mean of each agent, ignoring NaN (no value in that episode); None if all are NaN."""
    return [known(mean(of_agent)) for of_agent in values.T]


def over_agents(means: Means, figure: str, agents: list[int]) -> float:
    """Mean of a figure over those of ``agents`` that have it; NaN if none has."""
    return mean([means[figure][agent] for agent in agents])


def mean(values: Sequence[float | None] | np.ndarray) -> float:
    """Mean ignoring None and NaN; NaN if nothing is left."""
    there = with_nan(values)
    there = there[~np.isnan(there)]
    return float(there.mean()) if there.size else math.nan


def with_nan(values: Sequence[float | None] | np.ndarray) -> np.ndarray:
    """Float64 array with NaN for None."""
    return np.array(values, np.float64)


def known(value: float) -> float | None:
    """The value, or None for NaN, as JSON has it."""
    return None if math.isnan(value) else value
