"""Task ``navigation``: each robot drives to its own goal among obstacles and the others."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kdmarl_core.contract import Swarm
from kdmarl_core.contract.bounds import Positive
from kdmarl_core.envs.robots import layouts
from kdmarl_core.envs.robots.config import IntRange, Share, ordered
from kdmarl_core.envs.robots.goals import GoalsConfig, GoalsEnv


class NavigationConfig(
    GoalsConfig, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="navigation"
):
    """The task as written in a config file."""

    discs: IntRange = (2, 8)
    """number of pillars"""
    disc_radius: tuple[Positive, Positive] = (0.12, 0.45)
    """[m]"""
    walls: IntRange = (0, 2)
    """number of inner walls"""
    crossing: Share = 0.6
    """share of episodes in which robots start on the rim and go to its far side"""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("discs", "disc_radius", "walls"):
            ordered(name, getattr(self, name))

    def env(self, folder: Path, num_envs: int, swarm: Swarm | None = None) -> Navigation:
        """See :class:`Navigation`."""
        return Navigation(self, folder, num_envs, swarm)


class Navigation(GoalsEnv):
    """Walls, pillars, starts and goals at random; in many episodes all paths cross. See :class:`GoalsEnv`."""

    config: NavigationConfig

    @property
    def most_obstacles(self) -> tuple[int, int]:
        return self.config.discs[1], self.config.walls[1]

    def place(self, chosen: np.ndarray) -> bool:
        config = self.config
        return layouts.sample(
            self.rng,
            chosen,
            config.arena,
            config.discs,
            config.disc_radius,
            config.walls,
            config.crossing,
            config.margin,
            self.radius,
            self.pose,
            self.goal,
            self.discs,
            self.walls,
        )
