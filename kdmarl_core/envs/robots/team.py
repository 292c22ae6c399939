"""Who is in a team of robots: their groups, and how their bases move."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np

from kdmarl_core.contract import KdmarlError, Kinematics, RobotType, Swarm
from kdmarl_core.envs.base import STUDENT, Group
from kdmarl_core.envs.robots.config import RobotsConfig
from kdmarl_core.envs.robots.kernels import BASES
from kdmarl_core.envs.robots.sensing import check_sensors


class Bases:
    """The kinematics of N robots, whose commands have up to A values; arrays of A values have others at the end.

    Attributes: ``values``, A; ``sideways``, whether any robot can move to its left; and for each robot ``numbers`` of
    its kinematics in :mod:`~kdmarl_core.envs.robots.kernels` (N,), ``turning``, which of its values turns it (N,),
    ``acceleration`` (N, A), ``limits``, the highest commands (N, A), and ``top_speed`` over ground (N,) [m/s].
    """

    def __init__(self, actions: Sequence[Kinematics]) -> None:
        self._runs: list[tuple[slice, Kinematics]] = []
        for _, run in groupby(enumerate(actions), lambda robot: type(robot[1])):
            (first, action), *others = run
            self._runs.append((slice(first, first + 1 + len(others)), action))
        self.values = max(action.size for action in actions)
        self.sideways = any(action.sideways for action in actions)
        self.numbers = np.array([BASES[type(action)] for action in actions])
        self.turning = np.array([action.size - 1 for action in actions])
        self.acceleration = self._rows([action.acceleration for action in actions], 0.0)
        self.limits = self._rows([action.high for action in actions], 1.0)
        self.top_speed = np.array([action.top_speed for action in actions], np.float32).astype(np.float64)

    def _rows(self, rows: list[np.ndarray], rest: float) -> np.ndarray:
        padded = np.full((len(rows), self.values), rest)
        for index, row in enumerate(rows):
            padded[index, : row.size] = row
        return padded

    def move(self, velocity: np.ndarray, body_velocity: np.ndarray) -> None:
        """Speeds in the order of the robots' commands, (B, N, A), as motion, (B, N, 3) out [m/s, m/s, rad/s]."""
        for robots, action in self._runs:
            body_velocity[:, robots] = action.body_velocity(velocity[:, robots, : action.size])


def team_of(swarm: Swarm) -> dict[str, int]:
    """Robot type → number of robots in a swarm file."""
    team: dict[str, int] = {}
    for robot in swarm.robots:
        team[robot.type] = team.get(robot.type, 0) + 1
    return team


def make_groups(config: RobotsConfig, types: dict[str, RobotType], team: dict[str, int]) -> list[Group]:
    """The groups of a team, robot type → number of robots.

    Raises:
        KdmarlError: a view has no terms for a type, or a student's terms need a sensor that its robot lacks.
    """
    groups, start = [], 0
    for name, count in team.items():
        observation = {}
        for view, terms in config.observations.items():
            if name not in terms:  # a swarm file may bring types that the team has not
                raise KdmarlError(f"task.observations.{view}: has no terms for robot type '{name}'; add them")
            observation[view] = terms[name]
        check_sensors(name, types[name], observation.get(STUDENT, []))
        groups.append(Group(name, slice(start, start + count), observation, types[name].action))
        start += count
    return groups
