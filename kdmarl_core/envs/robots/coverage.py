"""Task ``coverage``: as many places as robots, each to be covered by one; nobody is told who goes where."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kdmarl_core.contract import KdmarlError, Readings, Swarm
from kdmarl_core.contract.spaces import Positive
from kdmarl_core.envs.robots import layouts
from kdmarl_core.envs.robots.config import Danger, IntRange, RobotsConfig, ordered
from kdmarl_core.envs.robots.world import RobotsEnv


class Reward(Danger, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Weights of the reward in one step; all robots share what the team gains."""

    progress: float = 4.0
    """for each metre by which the mean distance from the targets to their nearest robots falls"""
    covered: float = 0.3
    """for each step, times the share of targets that are covered"""
    covers: float = 0.05
    """for each step, to a robot that covers a target"""
    turning: float = -0.01
    """for the squared change of the commanded yaw rate, as a share of its limit"""


class CoverageConfig(
    RobotsConfig, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="coverage"
):
    """The task as written in a config file."""

    goal_tolerance: Positive = 0.4
    """distance at which a robot covers a target [m]"""
    discs: IntRange = (0, 4)
    """number of pillars"""
    disc_radius: tuple[Positive, Positive] = (0.12, 0.45)
    """[m]"""
    walls: IntRange = (0, 1)
    """number of inner walls"""
    reward: Reward = Reward()

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("discs", "disc_radius", "walls"):
            ordered(name, getattr(self, name))


class _Distances(NamedTuple):
    """How far robots and targets are from each other."""

    nearest: np.ndarray
    """(B, M) from each target to its nearest robot [m]"""
    covers: np.ndarray
    """(B, N) bool: the robot is its target's nearest, and near enough"""


class Coverage(RobotsEnv):
    """As many targets as robots, anywhere in a cluttered arena. See :class:`RobotsEnv`.

    Adds the figures ``success`` (the robot covers a target at the end, as the nearest to it) and ``covered`` (share
    of distinct targets that are covered at the end; the same for the whole team).

    Raises:
        KdmarlError: a swarm file has another number of targets than robots.
    """

    def __init__(self, config: CoverageConfig, folder: Path, num_envs: int, swarm: Swarm | None = None) -> None:
        self.config = config
        super().__init__(config, folder, num_envs, swarm)

    @property
    def danger(self) -> Danger:
        """What robots are charged for touching things."""
        return self.config.reward

    @property
    def _most_obstacles(self) -> tuple[int, int]:
        return self.config.discs[1], self.config.walls[1]

    def _allocate(self) -> None:
        super()._allocate()
        self.targets = np.zeros((self.num_envs, self.num_agents, 2))
        self._covers = np.zeros((self.num_envs, self.num_agents), bool)

    def _place(self, chosen: np.ndarray) -> bool:
        config = self.config
        return layouts.sample(
            self._rng,
            chosen,
            config.arena,
            config.discs,
            config.disc_radius,
            config.walls,
            0.0,
            config.margin,
            np.full(self.num_agents, self._radius.max()),  # any robot may cover any target
            self.pose,
            self.targets,
            self.discs,
            self.walls,
        )

    def _place_swarm(self, swarm: Swarm, ordered: list[Any], chosen: np.ndarray) -> None:
        if len(swarm.targets) != self.num_agents:
            raise KdmarlError(
                f"{swarm.path}: has {len(swarm.targets)} targets for {self.num_agents} robots; give as many"
            )
        self.targets[chosen] = swarm.targets

    def _measure(self) -> _Distances:
        offset = self.targets[:, None] - self.pose[:, :, None, :2]
        distance = np.hypot(offset[..., 0], offset[..., 1])
        nearest = distance.min(1)
        claims = (distance <= nearest[:, None]) & (distance <= self.config.goal_tolerance)
        return _Distances(nearest, claims.any(2))

    def _reward(self, before: _Distances, after: _Distances) -> np.ndarray:
        weights = self.config.reward
        self._covers = after.covers
        covered = (after.nearest <= self.config.goal_tolerance).mean(1, keepdims=True)
        turn = (self._commands[0][..., 1] - self._commands[1][..., 1]) / self._limits[:, 1]
        return (
            weights.progress * (before.nearest.mean(1) - after.nearest.mean(1))[:, None]
            + weights.covered * covered
            + weights.covers * after.covers
            + weights.turning * turn**2
        )

    def _task_figures(self) -> dict[str, np.ndarray]:
        covered = (self._measure().nearest <= self.config.goal_tolerance).mean(1, keepdims=True)
        return {"success": self._covers, "covered": np.broadcast_to(covered, self._covers.shape)}

    def _add_readings(self, readings: Readings, agents: slice) -> Readings:
        return readings._replace(targets=self._in_frames(self.targets[:, None], agents))

    def _task_state(self, agents: slice) -> list[np.ndarray]:
        offset = self.targets[:, None] - self.pose[:, :, None, :2]
        near = np.hypot(offset[..., 0], offset[..., 1]).min(1)[:, None, :, None]
        places = self._in_frames(self.targets[:, None], agents)
        return [np.concatenate([places, np.broadcast_to(near, (*places.shape[:-1], 1))], -1)]
