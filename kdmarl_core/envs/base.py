"""BatchedEnv: B environments of N agents in numpy arrays, the interface every trainer uses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from kdmarl_core.contract import ActionSpace, RobotType, Term
from kdmarl_core.contract.manifest import Domain

EXPERT, STUDENT = "expert", "student"
"""The two views of a team: what the expert sees in training, what each robot's own sensors give."""


@dataclass(frozen=True)
class Group:
    """The agents of one type: they share an observation, an action space and networks."""

    name: str
    agents: slice
    """their places among the N agents"""
    observation: dict[str, list[Term]]
    """view → terms"""
    action: ActionSpace

    @property
    def count(self) -> int:
        """Number of agents in the group."""
        return int(self.agents.stop - self.agents.start)

    def places(self, view: str) -> list[tuple[Term, slice]]:
        """The terms of an observation and where each lies in it."""
        places, start = [], 0
        for term in self.observation[view]:
            places.append((term, slice(start, start := start + term.size)))
        return places


class Step(NamedTuple):
    """What one step gives."""

    reward: np.ndarray
    """(B, N) float32, one for each agent"""
    terminated: np.ndarray
    """(B,) bool: the episode ended in a state without a future"""
    truncated: np.ndarray
    """(B,) bool: the episode ran out of time, its last state still has a value"""
    episodes: dict[str, np.ndarray]
    """figures of the K whole episodes that ended now, each (K, N) float64; empty arrays when none did"""


class BatchedEnv(ABC):
    """B environments × N agents, stepped together.

    ``step`` leaves ended episodes at their last state, so that its value can be bootstrapped;
    ``reset_ended`` starts the next ones. The environment owns its random numbers: the same seed and the
    same actions give the same bytes.

    Arrays that ``observe``, ``state`` and ``step`` give belong to the caller, who keeps them for a whole rollout: the
    environment must not write into them again.
    """

    num_envs: int
    num_agents: int
    max_steps: int
    control_period: float
    """[s]"""
    groups: tuple[Group, ...]
    state_sizes: dict[str, int]
    """group → length of the central state"""
    robot_types: Mapping[str, RobotType] = MappingProxyType({})
    """group → its robots; none where agents are not robots"""

    @property
    def domain(self) -> Mapping[str, Domain]:
        """Group → where its policy is trained; none where agents are not robots."""
        return {}

    @abstractmethod
    def reset(self, seed: int) -> None:
        """Start B new episodes from ``seed``."""

    @abstractmethod
    def step(self, actions: dict[str, np.ndarray]) -> Step:
        """Advance by one control period.

        Args:
            actions: group → (B, n, action) in the action space's units.
        """

    @abstractmethod
    def reset_ended(self) -> None:
        """Start new episodes where the last step ended one."""

    @abstractmethod
    def desynchronize(self) -> None:
        """Give the running episodes different ages, so that training does not see them all end at once."""

    def set_progress(self, done: float) -> None:  # noqa: B027 - tasks without a curriculum need none
        """Tell a curriculum how much of the training is done, from 0 to 1 (where evaluation is)."""

    @abstractmethod
    def observe(self, view: str) -> dict[str, np.ndarray]:
        """Group → observation (B, n, O) float32 as ``view`` sees it now."""

    @abstractmethod
    def state(self) -> dict[str, np.ndarray]:
        """Group → central state (B, n, S) float32, seen from each agent; for critics only."""


def any_of(available: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The number of an available action, uniformly drawn: (..., actions), zero where unavailable → (...)."""
    chosen: np.ndarray = np.where(available, rng.random(available.shape), -1).argmax(-1)
    return chosen


def seen_by_others(observation: dict[str, np.ndarray], groups: tuple[Group, ...]) -> dict[str, np.ndarray]:
    """A central state for tasks that define none: to each agent, what all others see, in their order.

    Args:
        observation: group → (B, n, O).
        groups: of the whole team.

    Returns:
        group → (B, n, S) float32, S the sum of the others' O.
    """
    each = [observation[group.name][:, index] for group in groups for index in range(group.count)]
    nothing = each[0][:, :0]  # a team of one has no others
    states = [np.concatenate([nothing, *each[:agent], *each[agent + 1 :]], -1) for agent in range(len(each))]
    return {group.name: np.stack(states[group.agents], 1) for group in groups}
