"""What a robots task defines, and what it may use: the base of every such task."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np

from kdmarl_core.contract import Readings, Swarm
from kdmarl_core.envs.base import BatchedEnv
from kdmarl_core.envs.robots.config import Danger


class RobotsTask(BatchedEnv):
    """A task of robots among walls and pillars: abstract methods are its own part, attributes are there to use.

    Subclass :class:`~kdmarl_core.envs.robots.world.RobotsEnv`, or
    :class:`~kdmarl_core.envs.robots.goals.GoalsEnv` where each robot has a goal. B is the number of environments, N the
    number of robots, group by group.
    """

    rng: np.random.Generator
    """All random numbers come from here."""
    pose: np.ndarray
    """(B, N, 3) x, y, yaw [m, m, rad]"""
    velocity: np.ndarray
    """(B, N, A) in the order and the units of each robot's commands (forward speed and yaw rate [m/s, rad/s] of a
    ``diff_drive``); robots whose commands have fewer values than A have zeros at the end"""
    body_velocity: np.ndarray
    """(B, N, 3) speed forward and to the left, yaw rate [m/s, m/s, rad/s]"""
    commands: np.ndarray
    """(3, B, N, A) the last three commands, newest first, as in ``velocity``"""
    limits: np.ndarray
    """(N, A) highest commands, as in ``velocity``, but with ones at the end"""
    turning: np.ndarray
    """(N,) which value of a robot's commands turns it"""
    radius: np.ndarray
    """(N,) of the bodies [m]"""
    discs: np.ndarray
    """(B, D, 3) pillars: x, y, radius [m]; a radius of 0 stands for none"""
    walls: np.ndarray
    """(B, W, 4) x1, y1, x2, y2 [m]: the four sides of the arena, then inner walls; NaN stands for none"""
    gap: np.ndarray
    """(B, N) least distance to anything during the last step [m]"""
    steps: np.ndarray
    """(B,) steps of the running episodes"""

    @property
    @abstractmethod
    def danger(self) -> Danger:
        """What robots are charged for touching things."""

    @property
    @abstractmethod
    def most_obstacles(self) -> tuple[int, int]:
        """How many pillars, and walls inside its boundary, an arena may have."""

    @abstractmethod
    def place(self, chosen: np.ndarray) -> bool:
        """Draw arenas and places of the ``chosen`` environments; whether everything found room."""

    @abstractmethod
    def place_swarm(self, swarm: Swarm, ordered: list[Any], chosen: np.ndarray) -> None:
        """Set what the task needs beside arena and poses from a swarm file; ``ordered`` are its robots."""

    @abstractmethod
    def measure(self) -> Any:
        """What the reward compares before and after a step."""

    @abstractmethod
    def reward(self, before: Any, after: Any) -> np.ndarray:
        """(B, N) reward of this step without danger."""

    @abstractmethod
    def task_figures(self) -> dict[str, np.ndarray]:
        """The task's figures of the running episodes, (B, N) each."""

    @abstractmethod
    def add_readings(self, readings: Readings, agents: slice) -> Readings:
        """``readings`` of some agents with what the task gives them to see."""

    @abstractmethod
    def task_state(self, agents: slice) -> list[np.ndarray]:
        """What critics of some agents see of the task, (B, n, ·) each."""

    def begin(self, chosen: np.ndarray) -> None:
        """Forget the task's figures of the last episode."""

    def arena_keys(self, index: int, robots: list[dict[str, Any]]) -> dict[str, Any]:
        """What the task adds to a swarm file of arena ``index``; keys of single robots go into ``robots``."""
        return {}
