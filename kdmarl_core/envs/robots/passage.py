"""Task ``passage``: two groups of robots meet at one narrow gap and must let each other through."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from kdmarl_core.contract import KdmarlError, Readings, Swarm
from kdmarl_core.contract.bounds import Positive
from kdmarl_core.envs.robots import layouts
from kdmarl_core.envs.robots.config import ordered as in_order
from kdmarl_core.envs.robots.goals import GoalsConfig, GoalsEnv

WAITING = 0.05
"""Speed below which a robot counts as standing [m/s]."""


class PassageConfig(
    GoalsConfig, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="passage"
):
    """The task as written in a config file."""

    arena: tuple[Positive, Positive] = (6.0, 8.0)
    """side of the square arena [m]"""
    gap: tuple[Positive, Positive] = (0.8, 1.0)
    """width of the passage [m]"""

    def __post_init__(self) -> None:
        super().__post_init__()
        in_order("gap", self.gap)

    def env(self, folder: Path, num_envs: int, swarm: Swarm | None = None) -> Passage:
        """See :class:`Passage`."""
        return Passage(self, folder, num_envs, swarm)


class Passage(GoalsEnv):
    """Half of the robots on either side of a wall with one gap, goals on the far side. See :class:`GoalsEnv`.

    The wall lies along y through the origin. Robots observe where the gap is, as their only target.

    Adds the figure ``blocked``: time that a robot stands before it is at its goal for good [s].

    Raises:
        KdmarlError: the largest robot does not fit through the narrowest gap, or a swarm file does not say where it is.
    """

    config: PassageConfig

    def __init__(self, config: PassageConfig, folder: Path, num_envs: int, swarm: Swarm | None = None) -> None:
        super().__init__(config, folder, num_envs, swarm)
        widest = 2 * float(self.radius.max())
        if config.gap[0] <= widest:
            raise KdmarlError(
                f"task.gap: the narrowest is {config.gap[0]:g} m, the largest robot is {widest:g} m wide; widen it"
            )

    def allocate(self) -> None:
        super().allocate()
        self.gap_middle = np.zeros((self.num_envs, 2))
        self._blocked = np.zeros((self.num_envs, self.num_agents))

    @property
    def most_obstacles(self) -> tuple[int, int]:
        return 0, 2

    def place(self, chosen: np.ndarray) -> bool:
        config = self.config
        found = layouts.sample_passage(
            self.rng,
            chosen,
            config.arena,
            config.gap,
            config.margin,
            self.radius,
            self.pose,
            self.goal,
            self.discs,
            self.walls,
        )
        self.gap_middle[chosen] = (self.walls[chosen, 4, 2:] + self.walls[chosen, 5, :2]) / 2
        return found

    def place_swarm(self, swarm: Swarm, ordered: list[Any], chosen: np.ndarray) -> None:
        super().place_swarm(swarm, ordered, chosen)
        if len(swarm.landmarks) != 1:
            raise KdmarlError(f"{swarm.path}: has {len(swarm.landmarks)} landmarks; give one, the gap's middle")
        self.gap_middle[chosen] = swarm.landmarks[0]

    def arena_keys(self, index: int, robots: list[dict[str, Any]]) -> dict[str, Any]:
        """The tolerance, each robot's goal, and the gap's middle."""
        return super().arena_keys(index, robots) | {"landmarks": [self.gap_middle[index].tolist()]}

    def way(self) -> tuple[np.ndarray, np.ndarray | float]:
        """Through the gap, for robots on the wrong side; else straight lines would be rewarded that end at the wall.

        Drawn goals are at least ``layouts.APPROACH`` from the wall: nobody is within the tolerance of one from there.
        """
        gap = self.gap_middle[:, None]
        beyond = self.pose[..., 0] * self.goal[..., 0] < 0
        rest = np.hypot(*np.moveaxis(self.goal - gap, -1, 0))
        return np.where(beyond[..., None], gap, self.goal), np.where(beyond, rest, 0.0)

    def add_readings(self, readings: Readings, agents: slice) -> Readings:
        gap = self.gap_middle[:, None, None]
        return super().add_readings(readings, agents)._replace(targets=self.in_frames(gap, agents))

    def begin(self, chosen: np.ndarray) -> None:
        super().begin(chosen)
        self._blocked[chosen] = 0

    def task_figures(self) -> dict[str, np.ndarray]:
        stands = self.ground_speed < WAITING
        self._blocked += self.control_period * (stands & ~self.at_goal)
        return super().task_figures() | {"blocked": self._blocked}
