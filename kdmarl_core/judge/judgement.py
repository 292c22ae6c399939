"""Judging a run from its robots' tracks: goals or targets, collisions, clearance, stops.

Collisions, arrivals and coverage are defined as in training: see :mod:`kdmarl_core.judge.definitions`.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np

from kdmarl_core.contract import Swarm
from kdmarl_core.contract.swarm import Bars
from kdmarl_core.judge import definitions

SCHEMA_VERSION = 1
SAMPLE_PERIOD = 0.05
"""Tracks are interpolated to this period [s], at which the training simulator measures gaps by default."""
CHUNK = 256
"""Samples for which places are assigned at once, to bound memory."""
HALTED_SPEED = 0.02
"""[m/s]"""
HALTED_YAW_RATE = 0.05
"""[rad/s]"""
LONGEST_SILENCE = 2.0
"""Odometry that ends earlier than this before the end of the run does not cover its end [s]."""
SHORTEST_STOP = 1.0
"""[s]"""


class Track(NamedTuple):
    """A robot's trajectory, in the swarm's frame."""

    times: np.ndarray
    """(T,) increasing [s]"""
    xy: np.ndarray
    """(T, 2) [m]"""
    yaw: np.ndarray
    """(T,) [rad]"""


class Arrivals(NamedTuple):
    """The robots' arrivals at their goals, or at the targets, at every sample after the start."""

    distance: np.ndarray
    """(T − 1, N) to the goal, the assigned target, or the nearest target if it has none [m]"""
    there: np.ndarray
    """(T − 1, N) bool: it is at its goal, or at its assigned target"""
    covered: int
    """targets that are covered at the end"""


class RobotResult(msgspec.Struct, frozen=True, kw_only=True):
    """Results of one robot."""

    name: str
    type: str
    goal_reached: bool
    """it is at its goal, or at its assigned target, at the end"""
    goal_distance: float
    """to its goal, or its assigned target, at the end [m]; to the nearest target if it has none"""
    time_to_goal: float | None
    """from the start of the run until its last arrival [s]; None if it is not there at the end"""
    collisions: int
    """times its smallest gap fell below 0.01 m after having been at least 0.05 m since the last time; contact of two
    robots counts for both, and further contacts in between are not counted"""
    minimum_clearance: float | None
    """smallest gap to a wall, pillar or other robot [m]; None if there are none"""
    path_length: float
    """[m]"""
    stops: int
    """times it stood still for over a second, after having moved, while it was not at its goal or target"""


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """Results of the swarm."""

    robots: int
    targets: int
    """places that the swarm has to cover; 0 if each robot has its own goal"""
    goals_reached: int
    """robots at their goal, or targets with any robot within the tolerance, at the end"""
    goals_reached_share: float
    """of the robots, or of the targets"""
    mean_time_to_goal: float | None
    """of the robots that are there at the end [s]"""
    collisions: int
    collisions_per_robot: float
    minimum_clearance: float | None
    """[m]"""
    path_length: float
    """[m]"""
    stops: int

    @property
    def goals(self) -> int:
        """Number of targets, or of goals (one per robot)."""
        return self.targets or self.robots

    @property
    def outcome(self) -> str:
        """Goals or targets reached, in words."""
        return f"{self.goals_reached} of {self.goals} {'targets covered' if self.targets else 'robots at their goal'}"


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """The summary of a run; its fields are those of ``summary.json``."""

    schema_version: int = SCHEMA_VERSION
    swarm: str
    swarm_file: str
    duration: float
    """[s]"""
    obstacles: str = ""
    """where those that collisions were judged by are from, or that they are not known"""
    bars: Bars
    passed: bool
    missed: list[str]
    """why the run did not pass, one sentence each"""
    totals: Totals
    robots: list[RobotResult]


def judge(swarm: Swarm, tracks: dict[str, Track], start: float, end: float, obstacles: str = "") -> Judgement:
    """Judge the run from ``start`` to ``end`` [s, the tracks' time].

    Args:
        swarm: with the world that it drives in, if that is known.
        tracks: one for every robot.
        start: [s].
        end: [s].
        obstacles: where those of the world are from, in words.
    """
    sampled = resample(tracks, start, end)
    arrivals = _at_targets(swarm, sampled) if swarm.targets else _at_goals(swarm, sampled)
    robots = _robot_results(swarm, sampled, arrivals)
    totals = _totals(robots, len(swarm.targets), arrivals.covered)
    missed = _missed(swarm.bars, totals) + [
        f"{name} gave no odometry in the last {end - track.times[-1]:.1f} s"
        for name, track in tracks.items()
        if end - track.times[-1] > LONGEST_SILENCE
    ]
    return Judgement(
        swarm=swarm.name,
        swarm_file=str(swarm.path),
        duration=round(end - start, 3),
        obstacles=obstacles,
        bars=swarm.bars,
        passed=not missed,
        missed=missed,
        totals=totals,
        robots=robots,
    )


def resample(tracks: dict[str, Track], start: float, end: float) -> dict[str, Track]:
    """All tracks at the same times, from 0 at ``start``; a track that ends early keeps its last position."""
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


def gaps(swarm: Swarm, tracks: dict[str, Track]) -> np.ndarray:
    """Gap of every robot at every sample, (T, N) [m]; ``tracks`` share their times."""
    radius = np.array([swarm.robot_type(robot).radius for robot in swarm.robots])
    return definitions.gaps(_places(swarm, tracks), radius, swarm.world)


def collision_starts(gap: np.ndarray) -> np.ndarray:
    """At which samples a collision begins, (T, N) bool, by the gaps (T, N) [m]; never at the first, the start."""
    begins = np.zeros(gap.shape, bool)
    touching = np.zeros(gap.shape[1], bool)
    for sample in 1 + _changes(np.hstack([gap < definitions.CONTACT, gap < definitions.REARM])[1:]):
        begins[sample], touching = definitions.collisions(gap[sample], touching)
    return begins


def _changes(states: np.ndarray) -> np.ndarray:
    """Indices at which ``states`` (T, n) differ from the previous ones, and 0: equal samples change nothing."""
    return np.flatnonzero(np.concatenate([[True], (states[1:] != states[:-1]).any(axis=1)]))


def _places(swarm: Swarm, tracks: dict[str, Track]) -> np.ndarray:
    """(T, N, 2) positions of the robots [m]."""
    return np.stack([tracks[robot.name].xy for robot in swarm.robots], axis=1)


def _at_goals(swarm: Swarm, tracks: dict[str, Track]) -> Arrivals:
    """Arrivals of robots at their own goals."""
    goals = np.array([robot.goal for robot in swarm.robots], float)
    offset = goals - _places(swarm, tracks)[1:]
    distance = np.hypot(offset[..., 0], offset[..., 1])
    return Arrivals(distance, definitions.arrived(distance, swarm.goal_tolerance), 0)


def _at_targets(swarm: Swarm, tracks: dict[str, Track]) -> Arrivals:
    """Arrivals of robots at the targets assigned from all positions one sample before."""
    xy, targets = _places(swarm, tracks), np.array(swarm.targets)
    parts, there = [], []
    for first in range(0, len(xy) - 1, CHUNK):
        distances = definitions.distances(xy[first : first + CHUNK + 1], targets)
        own, after = definitions.share_out(distances[:-1]), distances[1:]
        to_own = np.take_along_axis(after, np.maximum(own, 0)[..., None], -1)[..., 0]
        parts.append(np.where(own >= 0, to_own, after.min(-1)))
        there.append((own >= 0) & definitions.arrived(to_own, swarm.goal_tolerance))
    covered = definitions.covered(after[-1], swarm.goal_tolerance)
    return Arrivals(np.concatenate(parts), np.concatenate(there), int(covered.sum()))


def _robot_results(swarm: Swarm, tracks: dict[str, Track], arrivals: Arrivals) -> list[RobotResult]:
    times = tracks[swarm.robots[0].name].times
    gap = gaps(swarm, tracks)
    collisions, clearance = collision_starts(gap).sum(axis=0), gap[1:].min(axis=0)
    since = np.full(len(swarm.robots), np.nan)
    for sample in _changes(arrivals.there):
        since = definitions.arrival_times(arrivals.there[sample], since, times[1 + sample])
    return [
        RobotResult(
            name=robot.name,
            type=robot.type,
            goal_reached=bool(arrivals.there[-1, index]),
            goal_distance=round(float(arrivals.distance[-1, index]), 3),
            time_to_goal=None if np.isnan(since[index]) else round(float(since[index]), 3),
            collisions=int(collisions[index]),
            minimum_clearance=round(float(clearance[index]), 3) if np.isfinite(clearance[index]) else None,
            path_length=round(float(np.linalg.norm(np.diff(tracks[robot.name].xy, axis=0), axis=1).sum()), 3),
            stops=_count_stops(tracks[robot.name], ~arrivals.there[:, index]),
        )
        for index, robot in enumerate(swarm.robots)
    ]


def _count_stops(track: Track, away: np.ndarray) -> int:
    """Number of intervals over ``SHORTEST_STOP`` without motion while ``away`` (T − 1,), after a first motion."""
    period = np.diff(track.times)
    speed = np.linalg.norm(np.diff(track.xy, axis=0), axis=1) / period
    yaw_rate = np.abs(np.diff(track.yaw)) / period
    moves = (speed > HALTED_SPEED) | (yaw_rate > HALTED_YAW_RATE)
    moved_before = np.logical_or.accumulate(moves)
    stands = np.concatenate([[0], (~moves & moved_before & away).astype(int), [0]])
    begins, ends = np.flatnonzero(np.diff(stands) == 1), np.flatnonzero(np.diff(stands) == -1)
    return int((track.times[ends] - track.times[begins] > SHORTEST_STOP).sum())


def _totals(robots: list[RobotResult], targets: int, covered: int) -> Totals:
    times = [robot.time_to_goal for robot in robots if robot.time_to_goal is not None]
    reached = covered if targets else len(times)
    collisions = sum(robot.collisions for robot in robots)
    clearance = [robot.minimum_clearance for robot in robots if robot.minimum_clearance is not None]
    return Totals(
        robots=len(robots),
        targets=targets,
        goals_reached=reached,
        goals_reached_share=round(reached / (targets or len(robots)), 4),
        mean_time_to_goal=round(sum(times) / len(times), 3) if times else None,
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
