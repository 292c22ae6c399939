"""Judging a run from where its robots were: goals or targets, collisions, clearance, stops."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np

from kdmarl_core.contract import Robot, Swarm
from kdmarl_core.contract.swarm import Bars

SCHEMA_VERSION = 1
SAMPLE_PERIOD = 0.05
"""Tracks are interpolated to this common period [s]."""
CONTACT = 0.01
"""Clearance below which a robot collides [m]."""
CLEAR = 0.05
"""Clearance above which a collision is over and the next one counts anew [m]."""
HALTED_SPEED = 0.02
"""[m/s]"""
HALTED_YAW_RATE = 0.05
"""[rad/s]"""
LONGEST_SILENCE = 2.0
"""Odometry that ends earlier than this before the end of the run says nothing of its end [s]."""
SHORTEST_STOP = 1.0
"""[s]"""


class Track(NamedTuple):
    """Where a robot was, in the swarm's frame."""

    times: np.ndarray
    """(T,) increasing [s]"""
    xy: np.ndarray
    """(T, 2) [m]"""
    yaw: np.ndarray
    """(T,) [rad]"""


class Arrival(NamedTuple):
    """How a robot fares with its goal, or with the targets."""

    distance: np.ndarray
    """(T,) to the goal, or the nearest target [m]"""
    there: np.ndarray
    """(T,) bool: it is at its goal, or covers a target"""


class RobotResult(msgspec.Struct, frozen=True, kw_only=True):
    """How one robot did."""

    name: str
    type: str
    goal_reached: bool
    """it is at its goal, or covers a target, at the end"""
    goal_distance: float
    """to its goal, or the target nearest to it, at the end [m]"""
    time_to_goal: float | None
    """from the start of the run until it is at its goal, or covers some target, for good [s]; None if it does not at
    the end"""
    collisions: int
    """times its clearance to something fell below 0.01 m, having been above 0.05 m; a touch of two robots counts for
    both"""
    minimum_clearance: float | None
    """smallest distance to a wall, pillar or other robot [m]; None where there is nothing to hit"""
    path_length: float
    """[m]"""
    stops: int
    """times it stood for over a second away from its goal, or covering no target, once it had moved"""


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """How the swarm did."""

    robots: int
    targets: int
    """places that the swarm is to cover; 0 where each robot has a goal of its own"""
    goals_reached: int
    """robots at their goal, or targets that are covered"""
    goals_reached_share: float
    """of the robots, or of the targets"""
    mean_time_to_goal: float | None
    """of the robots at their goal, or covering a target [s]"""
    collisions: int
    collisions_per_robot: float
    minimum_clearance: float | None
    """[m]"""
    path_length: float
    """[m]"""
    stops: int

    @property
    def goals(self) -> int:
        """How many there are to reach: targets, or one goal a robot."""
        return self.targets or self.robots

    @property
    def outcome(self) -> str:
        """How many were reached, in words."""
        return f"{self.goals_reached} of {self.goals} {'targets covered' if self.targets else 'robots at their goal'}"


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """The summary of a run; field for field what ``summary.json`` holds."""

    schema_version: int = SCHEMA_VERSION
    swarm: str
    swarm_file: str
    duration: float
    """[s]"""
    bars: Bars
    passed: bool
    missed: list[str]
    """what kept the run from passing, each a sentence"""
    totals: Totals
    robots: list[RobotResult]


def judge(swarm: Swarm, tracks: dict[str, Track], start: float, end: float) -> Judgement:
    """Judge the run from ``start`` to ``end`` [s, the tracks' time]; ``tracks`` holds one for every robot."""
    sampled = resample(tracks, start, end)
    arrivals = _covering(swarm, sampled) if swarm.targets else _at_goals(swarm, sampled)
    robots = [_robot_result(swarm, robot, sampled, arrivals[robot.name]) for robot in swarm.robots]
    totals = _totals(robots, len(swarm.targets))
    missed = _missed(swarm.bars, totals) + [
        f"{name} gave no odometry in the last {end - track.times[-1]:.1f} s"
        for name, track in tracks.items()
        if end - track.times[-1] > LONGEST_SILENCE
    ]
    return Judgement(
        swarm=swarm.name,
        swarm_file=str(swarm.path),
        duration=round(end - start, 3),
        bars=swarm.bars,
        passed=not missed,
        missed=missed,
        totals=totals,
        robots=robots,
    )


def resample(tracks: dict[str, Track], start: float, end: float) -> dict[str, Track]:
    """All tracks at the same times, from 0 at ``start``; a track that ends early stays where it ended."""
    count = max(round((end - start) / SAMPLE_PERIOD), 1) + 1
    times = np.linspace(start, end, count)
    return {
        name: Track(
            times - start,
            np.stack([np.interp(times, track.times, track.xy[:, axis]) for axis in (0, 1)], axis=1),
            np.interp(times, track.times, np.unwrap(track.yaw)),
        )
        for name, track in tracks.items()
    }


def _at_goals(swarm: Swarm, tracks: dict[str, Track]) -> dict[str, Arrival]:
    """Robot → when it is at its own goal."""
    arrivals = {}
    for robot in swarm.robots:
        distance = np.linalg.norm(tracks[robot.name].xy - np.array(robot.goal), axis=1)
        arrivals[robot.name] = Arrival(distance, distance <= swarm.goal_tolerance)
    return arrivals


def _covering(swarm: Swarm, tracks: dict[str, Track]) -> dict[str, Arrival]:
    """Robot → when it covers a target; ``tracks`` share their times.

    A robot can cover the target nearest to it only, and a target is covered by one robot: the nearest of these.
    """
    nearest, distance = [], []
    for robot in swarm.robots:
        distances = np.linalg.norm(tracks[robot.name].xy[:, None] - np.array(swarm.targets), axis=-1)
        nearest.append(distances.argmin(axis=1))
        distance.append(distances.min(axis=1))
    within = np.where(np.array(distance) <= swarm.goal_tolerance, distance, np.inf)
    covers = np.zeros(within.shape, bool)
    for target in range(len(swarm.targets)):
        claims = np.where(np.array(nearest) == target, within, np.inf)
        covers[claims.argmin(axis=0), np.arange(claims.shape[1])] |= np.isfinite(claims).any(axis=0)
    return {robot.name: Arrival(distance[index], covers[index]) for index, robot in enumerate(swarm.robots)}


def clearances(swarm: Swarm, robot: Robot, tracks: dict[str, Track]) -> np.ndarray:
    """Distance from the body of ``robot`` to each thing it can hit, (things, T) [m].

    Things are the arena, every pillar and inner wall, and every other robot; ``tracks`` share their times.
    """
    xy = tracks[robot.name].xy
    distances = []
    if swarm.world:
        half = np.array(swarm.world.size) / 2
        distances.append((half - np.abs(xy)).min(axis=1))
        for x, y, radius in swarm.world.discs:
            distances.append(np.linalg.norm(xy - (x, y), axis=1) - radius)
        for x1, y1, x2, y2 in swarm.world.walls:
            distances.append(_segment_distance(xy, np.array([x1, y1]), np.array([x2, y2])))
    for other in swarm.robots:
        if other.name != robot.name:
            between = np.linalg.norm(xy - tracks[other.name].xy, axis=1)
            distances.append(between - swarm.robot_type(other).radius)
    return np.array(distances).reshape(-1, len(xy)) - swarm.robot_type(robot).radius


def collision_onsets(clearance: np.ndarray) -> np.ndarray:
    """Indices at which a clearance (T,) falls below ``CONTACT``, having been above ``CLEAR`` or just begun."""
    decided = np.flatnonzero((clearance < CONTACT) | (clearance > CLEAR))
    touching = clearance[decided] < CONTACT
    begins = touching & ~np.concatenate([[False], touching[:-1]])
    return decided[begins]


def _segment_distance(xy: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    along = end - start
    length = float(along @ along)
    share = np.clip((xy - start) @ along / length, 0, 1) if length else np.zeros(len(xy))
    return np.asarray(np.linalg.norm(xy - start - share[:, None] * along, axis=1))


def _robot_result(swarm: Swarm, robot: Robot, tracks: dict[str, Track], arrival: Arrival) -> RobotResult:
    track, away = tracks[robot.name], ~arrival.there
    clearance = clearances(swarm, robot, tracks)
    return RobotResult(
        name=robot.name,
        type=robot.type,
        goal_reached=bool(arrival.there[-1]),
        goal_distance=round(float(arrival.distance[-1]), 3),
        time_to_goal=None if away[-1] else _time_to_goal(track.times, away),
        collisions=sum(len(collision_onsets(one)) for one in clearance),
        minimum_clearance=round(float(clearance.min()), 3) if clearance.size else None,
        path_length=round(float(np.linalg.norm(np.diff(track.xy, axis=0), axis=1).sum()), 3),
        stops=_count_stops(track, away),
    )


def _time_to_goal(times: np.ndarray, away: np.ndarray) -> float:
    last_away = np.flatnonzero(away)
    return round(float(times[last_away[-1] + 1]), 3) if last_away.size else 0.0


def _count_stops(track: Track, away: np.ndarray) -> int:
    """Stretches of over ``SHORTEST_STOP`` without motion, while ``away`` (T,), once the robot has moved."""
    period = np.diff(track.times)
    speed = np.linalg.norm(np.diff(track.xy, axis=0), axis=1) / period
    yaw_rate = np.abs(np.diff(track.yaw)) / period
    moves = (speed > HALTED_SPEED) | (yaw_rate > HALTED_YAW_RATE)
    moved_before = np.logical_or.accumulate(moves)
    stands = np.concatenate([[0], (~moves & moved_before & away[1:]).astype(int), [0]])
    begins, ends = np.flatnonzero(np.diff(stands) == 1), np.flatnonzero(np.diff(stands) == -1)
    return int((track.times[ends] - track.times[begins] > SHORTEST_STOP).sum())


def _totals(robots: list[RobotResult], targets: int) -> Totals:
    reached = [robot.time_to_goal for robot in robots if robot.time_to_goal is not None]
    collisions = sum(robot.collisions for robot in robots)
    clearance = [robot.minimum_clearance for robot in robots if robot.minimum_clearance is not None]
    return Totals(
        robots=len(robots),
        targets=targets,
        goals_reached=len(reached),
        goals_reached_share=round(len(reached) / (targets or len(robots)), 4),
        mean_time_to_goal=round(sum(reached) / len(reached), 3) if reached else None,
        collisions=collisions,
        collisions_per_robot=round(collisions / len(robots), 4),
        minimum_clearance=min(clearance, default=None),
        path_length=round(sum(robot.path_length for robot in robots), 3),
        stops=sum(robot.stops for robot in robots),
    )


def _missed(bars: Bars, totals: Totals) -> list[str]:
    missed = []
    if totals.goals_reached < bars.goals_reached * totals.goals - 1e-9:
        missed.append(f"{totals.outcome}, the bar is {bars.goals_reached:.0%}")
    if totals.collisions > bars.collisions_per_robot * totals.robots + 1e-9:
        bar = f"the bar is {bars.collisions_per_robot:g} a robot"
        missed.append(f"{totals.collisions} collisions of {totals.robots} robots, {bar}")
    return missed
