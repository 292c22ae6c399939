"""What all robot tasks have in common in a config file: team, arena, dangers, randomisation."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

import msgspec

from kdmarl_core.contract import RobotType, Term, load_robot_types
from kdmarl_core.contract.bounds import NonNegative, Positive
from kdmarl_core.envs.base import EXPERT, STUDENT
from kdmarl_core.envs.task import TaskConfig

Count = Annotated[int, msgspec.Meta(ge=1)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
FloatRange = tuple[NonNegative, NonNegative]
IntRange = tuple[Annotated[int, msgspec.Meta(ge=0)], Annotated[int, msgspec.Meta(ge=0)]]

EPISODE = 30.0
"""Of a team at full pace [s], unless the task says how many steps."""
FULL_PACE = 0.5
"""Top speed of the slowest robot of such a team, or more [m/s]."""
USUAL_PERIOD = 0.1
"""That charges are given for [s]."""


def pace(robots: Iterable[RobotType]) -> float:
    """Share of full pace at which the slowest of some robots drives, at most 1: all takes them as much longer."""
    slowest = min(robot.action.top_speed for robot in robots)
    return min(1.0, slowest / FULL_PACE)


def ordered(name: str, pair: tuple[float, float]) -> None:
    """Refuse a range whose lowest is above its highest.

    Raises:
        ValueError: it is.
    """
    if pair[0] > pair[1]:
        raise ValueError(f"{name} is [{pair[0]}, {pair[1]}]; give [lowest, highest]")


class Danger(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Weights of what a robot is charged for when it touches something or is about to.

    What adds up with time is given for 0.1 s of a team that drives 0.5 m/s or faster: of slower robots, which pass
    something in as much more time, each step counts as much less (:meth:`at_pace`).
    """

    collision: float = -30.0
    """when it begins to touch anything"""
    contact: float = -0.05
    """while it touches"""
    close: float = -0.3
    """rising from 0 at ``close_gap`` from a wall or pillar to this at contact"""
    close_gap: Positive = 0.25
    """[m]"""
    crowd: float = -0.3
    """rising from 0 at ``crowd_gap`` from another robot to this at contact"""
    crowd_gap: Positive = 0.35
    """[m]"""
    course: float = -0.5
    """while its own motion will lead to a touch with another robot: times its share of its top
    speed, falling to 0 at ``course_time`` before and at ``course_gap`` between them when they pass"""
    course_gap: Positive = 0.3
    """[m]"""
    course_time: Positive = 2.0
    """[s], longer for slower robots"""
    first_caution: Share = 0.1
    """share of collision, contact, close, crowd and course at the beginning of training, so that robots dare to move"""
    caution_ramp: Share = 0.5
    """share of the training after which they have their full weight"""

    timed: ClassVar[tuple[str, ...]] = ("contact", "close", "crowd", "course")
    """what adds up with time"""

    def at_pace(self, pace: float, period: float) -> Self:
        """The weights for one step of ``period`` [s] of a team at ``pace``, a share of full pace."""
        step = pace * period / USUAL_PERIOD
        weights = {name: step * getattr(self, name) for name in self.timed}
        return msgspec.structs.replace(self, course_time=self.course_time / pace, **weights)


class Randomization(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Drawn anew for every robot and episode, uniformly between lowest and highest."""

    noise: FloatRange = (0.0, 0.03)
    """standard deviation of distances [m]"""
    dropout: tuple[Share, Share] = (0.0, 0.1)
    """chance that a robot gets no new scan in a step and sees the last one"""
    delay: FloatRange = (0.0, 0.15)
    """from command to motion [s]"""
    gain: tuple[Positive, Positive] = (0.95, 1.05)
    """true speed for a commanded speed of 1"""
    odometry_noise: FloatRange = (0.0, 0.02)
    """standard deviation of measured speeds [m/s, rad/s]"""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            ordered(name, getattr(self, name))


class RobotsConfig(TaskConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The part of a task that does not depend on what the robots are to do."""

    robot_types: str
    """YAML file of robot types, relative to the config file"""
    team: dict[str, Annotated[int, msgspec.Meta(ge=1, le=64)]]
    """robot type → number of robots"""
    observations: dict[str, dict[str, list[Term]]]
    """view → robot type → terms"""
    control_period: Positive = 0.1
    """[s]"""
    max_steps: Count | msgspec.UnsetType = msgspec.UNSET
    """of an episode; unless given, 30 s for robots that drive 0.5 m/s or faster, and as much longer for slower ones"""
    arena: tuple[Positive, Positive] = (7.0, 9.5)
    """side of the square arena [m]"""
    margin: Positive = 0.4
    """free space around places for robots [m]"""
    privileged_beams: Annotated[int, msgspec.Meta(ge=8, le=4096)] = 120
    """beams of the lidar that simulation lends to robots without one"""
    privileged_range: Positive = 3.5
    """its range [m]"""
    randomization: Randomization = Randomization()

    def __post_init__(self) -> None:
        if not self.team:
            raise ValueError("team has no robots; name at least one robot type")
        for name in (EXPERT, STUDENT):
            if not all(self.observations.get(name, {}).get(robot_type) for robot_type in self.team):
                raise ValueError(f"observations.{name} must list terms for {', '.join(self.team)}")
        ordered("arena", self.arena)
        if self.randomization.delay[1] > 2 * self.control_period:
            raise ValueError(
                f"randomization.delay is up to {self.randomization.delay[1]} s; at most two control periods"
            )

    @property
    def measured_in(self) -> str:
        """Arenas are drawn."""
        return "random arenas"

    def types(self, folder: Path) -> Collection[str]:
        """Robot types that some view has terms for."""
        return {name for terms in self.observations.values() for name in terms}

    def robots_file(self, folder: Path) -> Path:
        """The file of the robot types."""
        return folder / self.robot_types

    def steps(self, pace: float) -> int:
        """Of an episode of a team at ``pace``, a share of full pace."""
        return self.max_steps or math.ceil(EPISODE / pace / self.control_period - 1e-9)

    def facts(self, folder: Path, *views: str) -> dict[str, Any]:
        """All keys, and of the robot types what this simulator knows of: not the height, nor the computer's budget."""
        facts = super().facts(folder, *views)
        types = load_robot_types(self.robots_file(folder))
        team = {name: types[name] for name in self.team if name in types}
        relevant = ("radius", "action", "sensors")
        facts["robot_types"] = {
            name: {key: value for key, value in msgspec.to_builtins(robot).items() if key in relevant}
            for name, robot in team.items()
        }
        if team:
            share = pace(team.values())
            facts["max_steps"] = self.steps(share)
            if (share, self.control_period) != (1.0, USUAL_PERIOD):
                facts["pace"] = share
        return facts
