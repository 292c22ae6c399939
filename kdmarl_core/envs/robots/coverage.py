"""Task ``coverage``: as many places as robots, each to be covered by one; students do not observe which is theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from kdmarl_core.contract import KdmarlError, Readings, Swarm
from kdmarl_core.contract.bounds import Positive
from kdmarl_core.envs.robots import layouts
from kdmarl_core.envs.robots.config import IntRange, ordered
from kdmarl_core.envs.robots.goals import GoalsConfig, GoalsEnv
from kdmarl_core.judge import definitions


class CoverageConfig(
    GoalsConfig, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="coverage"
):
    """The task as written in a config file."""

    goal_tolerance: Positive = 0.4
    """distance at which a robot covers a place [m]"""
    discs: IntRange = (0, 4)
    """number of pillars"""
    disc_radius: tuple[Positive, Positive] = (0.12, 0.45)
    """[m]"""
    walls: IntRange = (0, 1)
    """number of inner walls"""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("discs", "disc_radius", "walls"):
            ordered(name, getattr(self, name))

    def env(self, folder: Path, num_envs: int, swarm: Swarm | None = None) -> Coverage:
        """See :class:`Coverage`."""
        return Coverage(self, folder, num_envs, swarm)


class Coverage(GoalsEnv):
    """As many places as robots, anywhere in a cluttered arena. See :class:`GoalsEnv`.

    A robot's goal is the place that :func:`kdmarl_core.judge.definitions.share_out` gives it in each step. Views with
    the ``goal`` term, such as a centralised expert's, contain it; others contain all places only.

    Adds the figure ``covered`` (share of places with a robot on them at the end; the same for the whole team).

    Raises:
        KdmarlError: a swarm file has another number of targets than robots.
    """

    config: CoverageConfig

    @property
    def most_obstacles(self) -> tuple[int, int]:
        return self.config.discs[1], self.config.walls[1]

    def allocate(self) -> None:
        super().allocate()
        self.targets = np.zeros((self.num_envs, self.num_agents, 2))

    def place(self, chosen: np.ndarray) -> bool:
        config = self.config
        return layouts.sample(
            self.rng,
            chosen,
            config.arena,
            config.discs,
            config.disc_radius,
            config.walls,
            0.0,
            config.margin,
            np.full(self.num_agents, self.radius.max()),  # any robot may cover any place
            self.pose,
            self.targets,
            self.discs,
            self.walls,
        )

    def place_swarm(self, swarm: Swarm, ordered: list[Any], chosen: np.ndarray) -> None:
        if len(swarm.targets) != self.num_agents:
            raise KdmarlError(
                f"{swarm.path}: has {len(swarm.targets)} targets for {self.num_agents} robots; give as many"
            )
        self.targets[chosen] = swarm.targets

    def arena_keys(self, index: int, robots: list[dict[str, Any]]) -> dict[str, Any]:
        """The tolerance, and the places."""
        return {"goal_tolerance": self.config.goal_tolerance, "targets": self.targets[index].tolist()}

    def begin(self, chosen: np.ndarray) -> None:
        super().begin(chosen)
        self._share_out(chosen, self._distances())

    def _share_out(self, chosen: np.ndarray, distances: np.ndarray) -> None:
        own = definitions.share_out(distances[chosen])
        self.goal[chosen] = np.take_along_axis(self.targets[chosen], own[..., None], 1)

    def _distances(self) -> np.ndarray:
        """(B, N, M) from each robot to each place [m]."""
        return definitions.distances(self.pose[..., :2], self.targets)

    def task_figures(self) -> dict[str, np.ndarray]:
        figures, distances = super().task_figures(), self._distances()
        # For what is seen next; the step was rewarded by what was seen.
        self._share_out(np.arange(self.num_envs), distances)
        covered = definitions.covered(distances, self.config.goal_tolerance).mean(1, keepdims=True)
        return figures | {"covered": np.broadcast_to(covered, self.at_goal.shape)}

    def add_readings(self, readings: Readings, agents: slice) -> Readings:
        places = self.in_frames(self.targets[:, None], agents)
        return super().add_readings(readings, agents)._replace(targets=places)
