"""A custom robots task in one file: robots start on the left and park in bays along the right wall."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kdmarl_core.contract import Swarm
from kdmarl_core.envs.robots.goals import GoalsConfig, GoalsEnv

TRIES = 1000
"""Random draws of one robot's start before an arena is given up."""


class ParkingConfig(GoalsConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The keys under ``task``, in addition to those of every robots task."""

    bay: float = 1.0
    """width of a bay [m]"""

    def __post_init__(self) -> None:
        super().__post_init__()
        needed = self.bay * sum(self.team.values())
        if self.bay <= 0 or needed > self.arena[0]:
            raise ValueError(
                f"bay is {self.bay} m, and all take {needed:g} m of a wall of {self.arena[0]} m; change it"
            )

    def env(self, folder: Path, num_envs: int, swarm: Swarm | None = None) -> Parking:
        """Make the environment that an experiment trains in."""
        return Parking(self, folder, num_envs, swarm)


class Parking(GoalsEnv):
    """Bays are assigned at random in each episode; reward, metrics and sensors are those of all tasks with goals."""

    config: ParkingConfig
    most_obstacles = (0, 0)

    def place(self, chosen: np.ndarray) -> bool:
        """Draw arenas, starts and bays; False if there is no room for a start."""
        for index in chosen:
            side = self.rng.uniform(*self.config.arena)
            self.wall_in(np.array([index]), side, side)
            row = (np.arange(self.num_agents) - (self.num_agents - 1) / 2) * self.config.bay
            into = side / 2 - self.radius.max() - self.config.margin
            bays = np.stack([np.full(self.num_agents, into), row], -1)
            self.goal[index] = self.rng.permutation(bays)
            for robot in range(self.num_agents):
                if not self._start(index, robot, side):
                    return False
        return True

    def _start(self, index: int, robot: int, side: float) -> bool:
        """Draw a start in the left half, clear of the walls and of the robots placed before it."""
        radius, margin = self.radius[robot], self.config.margin
        reach = side / 2 - radius - margin
        for _ in range(TRIES):
            place = self.rng.uniform([-reach, -reach], [0.0, reach])
            others = np.linalg.norm(self.pose[index, :robot, :2] - place, axis=-1)
            if (others > self.radius[:robot] + radius + margin).all():
                self.pose[index, robot] = (*place, self.rng.uniform(-np.pi, np.pi))
                return True
        return False
