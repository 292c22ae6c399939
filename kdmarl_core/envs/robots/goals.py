"""What tasks share in which each robot has a goal of its own."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kdmarl_core.contract import KdmarlError, Readings, Swarm
from kdmarl_core.contract.bounds import Positive
from kdmarl_core.envs.robots.config import Danger, RobotsConfig, Share
from kdmarl_core.envs.robots.world import RobotsEnv, rotate
from kdmarl_core.judge import definitions


class Reward(Danger, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Weights of a robot's reward in one step."""

    timed = (*Danger.timed, "at_goal", "restless")

    progress: float = 2.0
    """for each metre nearer to the goal, along the way there"""
    facing: float = 0.2
    """for each radian that it turns towards the goal, while away from it: else those that stand with the goal behind
    them may learn to stand"""
    at_goal: float = 0.1
    """while at the goal"""
    turning: float = -0.01
    """for the squared change of the commanded yaw rate, as a share of its limit"""
    restless: float = -0.05
    """for the commanded speed at the goal, as a share of its limit"""
    shared: Share = 0.0
    """of the above each robot gets this share as the mean of all robots', so that it pays to let others pass"""


class GoalsConfig(RobotsConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The part of a task with goals that does not depend on where they are."""

    goal_tolerance: Positive = 0.3
    """distance at which a robot counts as at its goal [m]"""
    reward: Reward = Reward()


class _Goals(NamedTuple):
    """How each robot gets to its goal, (B, N) each."""

    distance: np.ndarray
    """along its way [m]"""
    bearing: np.ndarray
    """of the next place on it, in the robot's frame [rad]"""


class GoalsEnv(RobotsEnv):
    """Every robot to its own goal; where those are is left to the task. See :class:`RobotsEnv`.

    Adds the figures ``success`` (at the goal at the end) and ``time_to_goal`` [s] (NaN when not at the goal at
    the end).

    Raises:
        KdmarlError: a robot of a swarm file has no goal.
    """

    def __init__(self, config: GoalsConfig, folder: Path, num_envs: int, swarm: Swarm | None = None) -> None:
        self.config = config
        super().__init__(config, folder, num_envs, swarm)

    @cached_property
    def weights(self) -> Reward:
        """Of this team's rewards."""
        return self.config.reward.at_pace(self.pace, self.control_period)

    @property
    def danger(self) -> Danger:
        """What robots are charged for touching things."""
        return self.weights

    def allocate(self) -> None:
        super().allocate()
        self.goal = np.zeros((self.num_envs, self.num_agents, 2))
        self.at_goal = np.zeros((self.num_envs, self.num_agents), bool)
        self._arrival = np.zeros((self.num_envs, self.num_agents))

    def place_swarm(self, swarm: Swarm, ordered: list[Any], chosen: np.ndarray) -> None:
        for robot in ordered:
            if robot.goal is None:
                raise KdmarlError(f"{swarm.path}: robot '{robot.name}' has no goal, which this task needs; give it one")
        self.goal[chosen] = [robot.goal for robot in ordered]

    def begin(self, chosen: np.ndarray) -> None:
        self._arrival[chosen] = np.nan

    def arena_keys(self, index: int, robots: list[dict[str, Any]]) -> dict[str, Any]:
        """The tolerance, and each robot's goal."""
        for robot, goal in zip(robots, self.goal[index].tolist(), strict=True):
            robot["goal"] = goal
        return {"goal_tolerance": self.config.goal_tolerance}

    def way(self) -> tuple[np.ndarray, np.ndarray | float]:
        """The next place on each robot's way, (B, N, 2), and how far its goal is from there, (B, N) [m]."""
        return self.goal, 0.0

    def measure(self) -> _Goals:
        place, rest = self.way()
        offset = rotate(place - self.pose[..., :2], self.pose[..., 2])
        return _Goals(np.hypot(offset[..., 0], offset[..., 1]) + rest, np.arctan2(offset[..., 1], offset[..., 0]))

    def reward(self, before: _Goals, after: _Goals) -> np.ndarray:
        weights = self.weights
        self.at_goal = definitions.arrived(after.distance, self.config.goal_tolerance)
        turned = np.where(self.at_goal, 0, np.abs(before.bearing) - np.abs(after.bearing))
        command, last = self.commands[0] / self.limits, self.commands[1] / self.limits
        robots = np.arange(self.num_agents)
        turn = command[:, robots, self.turning] - last[:, robots, self.turning]
        own: np.ndarray = (
            weights.progress * (before.distance - after.distance)
            + weights.facing * turned
            + weights.at_goal * self.at_goal
            + weights.turning * turn**2
            + weights.restless * self.at_goal * np.abs(command).sum(-1)
        )
        return own + weights.shared * (own.mean(1, keepdims=True) - own)

    def task_figures(self) -> dict[str, np.ndarray]:
        now = (self.steps * self.control_period)[:, None]
        self._arrival = definitions.arrival_times(self.at_goal, self._arrival, now)
        return {"success": self.at_goal, "time_to_goal": self._arrival}

    def add_readings(self, readings: Readings, agents: slice) -> Readings:
        return readings._replace(goal=rotate(self.goal[:, agents] - self.pose[:, agents, :2], self.pose[:, agents, 2]))

    def task_state(self, agents: slice) -> list[np.ndarray]:
        return [self.in_frames(self.of_others(self.goal, agents), agents)]
