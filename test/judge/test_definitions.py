"""One definition of contact, collision, arrival and coverage, for the training simulator and the judge."""

import itertools
import math
from typing import NamedTuple

import msgspec
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from kdmarl_core.contract import load_robot_types
from kdmarl_core.envs.robots.coverage import Coverage, CoverageConfig
from kdmarl_core.envs.robots.navigation import Navigation, NavigationConfig
from kdmarl_core.judge import definitions
from kdmarl_core.judge.judgement import SAMPLE_PERIOD, Track, judge
from sim_support import make_swarm, robot
from support import REPOSITORY, ROBOT_TYPES

SIDE = 6.0
TOLERANCE = 0.3
SIDES = [(-3.0, -3.0, 3.0, -3.0), (3.0, -3.0, 3.0, 3.0), (3.0, 3.0, -3.0, 3.0), (-3.0, 3.0, -3.0, -3.0)]
UNSURE = 1e-6
"""Nearer to a threshold than this [m] the last bits decide."""


@st.composite
def swarms(draw):
    """Two to four robots in a row in the south, pillars, walls and goals or targets anywhere else."""
    kinds = draw(st.lists(st.sampled_from(["scout", "carrier", "mini"]), min_size=2, max_size=4))
    kinds = sorted(kinds, key=kinds.index)  # the training simulator keeps types together
    spot = st.tuples(st.integers(-28, 28), st.integers(-15, 28)).map(lambda p: (p[0] / 10, p[1] / 10))
    discs = draw(st.lists(st.tuples(spot, st.sampled_from([0.1, 0.3, 0.5])), max_size=3))
    walls = draw(st.lists(st.tuples(spot, spot), max_size=2))
    goals = draw(st.lists(spot, min_size=len(kinds), max_size=len(kinds)))
    shared = draw(st.booleans())
    if draw(st.booleans()):
        goals[1] = (goals[0][0] + 0.3, goals[0][1])  # a robot may be within the tolerance of both
    types = load_robot_types(ROBOT_TYPES)
    touching = draw(st.lists(st.booleans(), min_size=len(kinds), max_size=len(kinds)))  # the wall, at the start
    south = [-3.0 + types[kind].radius + 0.005 if near else -2.5 for kind, near in zip(kinds, touching, strict=True)]
    robots = [
        robot(f"r{i}", kind, (1.5 * i - 2.25, south[i], 0.0), None if shared else goals[i])
        for i, kind in enumerate(kinds)
    ]
    world = {"size": (SIDE, SIDE), "discs": [(*at, size) for at, size in discs], "walls": [(*a, *b) for a, b in walls]}
    swarm = replace(make_swarm(robots, **world), goal_tolerance=TOLERANCE)
    return replace(swarm, targets=goals) if shared else swarm


class Visit(NamedTuple):
    """What a robot does in the looks to come: it stays at one thing, or one goal, at these gaps or distances [m]."""

    to_goal: bool
    thing: int
    """which thing or goal, modulo how many there are"""
    turn: int
    """at which side of it, or where along a wall"""
    gaps: list[float]


visits = st.lists(
    st.builds(
        Visit,
        st.booleans(),
        st.integers(0, 11),
        st.integers(0, 11),
        st.lists(st.sampled_from([0.002, 0.009, 0.011, 0.03, 0.049, 0.051, 0.2]), min_size=1, max_size=8),
    ),
    min_size=2,
    max_size=8,
)


def place(swarm, xy, radius, visit, gap):
    """Where a robot of ``radius`` [m] has ``gap`` [m] to the visit's thing, or twice as much to its goal."""
    direction = np.array([math.cos(visit.turn * math.pi / 6), math.sin(visit.turn * math.pi / 6)])
    if visit.to_goal:
        ends = np.array(swarm.targets or [one.goal for one in swarm.robots])
        return ends[visit.thing % len(ends)] + 2 * gap * direction
    discs = [(*at, swarm.robot_type(one).radius) for at, one in zip(xy, swarm.robots, strict=True)] + swarm.world.discs
    walls = [*SIDES, *swarm.world.walls]
    thing = visit.thing % (len(discs) + len(walls))
    if thing < len(discs):
        x, y, size = discs[thing]
        return np.array([x, y]) + (size + radius + gap) * direction
    x1, y1, x2, y2 = walls[thing - len(discs)]
    along, length = np.array([x2 - x1, y2 - y1]), math.hypot(x2 - x1, y2 - y1) or 1.0
    normal = np.array([-along[1], along[0]]) / length * (1 if visit.turn % 2 else -1)
    return np.array([x1, y1]) + along * (visit.turn // 2) / 5 + (radius + gap) * normal


def tracks_of(swarm, visits):
    """Places (T, N, 2) of robots that go from place to place within a look.

    A robot stays where it is if it would overlap something, or be so near a threshold that the last bits decide.
    """
    radius = np.array([swarm.robot_type(one).radius for one in swarm.robots])
    ends = np.array(swarm.targets or [one.goal for one in swarm.robots])
    plans = [[(visit, gap) for visit in of_robot for gap in visit.gaps] for of_robot in visits[: len(radius)]]
    places = [np.array([one.pose[:2] for one in swarm.robots])]
    for moves in itertools.zip_longest(*plans):
        xy = places[-1].copy()
        for index, move in enumerate(moves):
            tried = xy.copy()
            if move is not None:
                tried[index] = place(swarm, xy, radius[index], *move)
            gaps = definitions.gaps(tried[None], radius, swarm.world)
            thresholds = np.abs(gaps - [[definitions.CONTACT], [definitions.REARM]])
            reaches = np.abs(definitions.distances(tried, ends) - TOLERANCE)
            if gaps.min() > 0.001 and min(thresholds.min(), reaches.min()) > UNSURE:
                xy = tried
        places.append(xy)
    return np.array(places)


def trained(swarm, places):
    """Figures of the training simulator in whose robots stand at ``places`` (T, N, 2), and its gaps (T − 1, N)."""
    task, config_type, kind = (
        ("coverage", CoverageConfig, Coverage) if swarm.targets else ("navigation", NavigationConfig, Navigation)
    )
    settings = yaml.safe_load((REPOSITORY / f"config/{task}.yaml").read_text())["task"] | {
        "control_period": SAMPLE_PERIOD,
        "max_steps": len(places) - 1,
        "goal_tolerance": TOLERANCE,
        "randomization": {"delay": [0.0, 0.0]},
    }
    env = kind(msgspec.convert(settings, config_type), REPOSITORY / "config", 1, swarm)
    still = {group.name: np.zeros((1, group.count, 2)) for group in env.groups}
    gaps = []
    for xy in places[1:]:
        env.pose[0, :, :2] = xy
        step = env.step(still)
        np.testing.assert_array_equal(env.pose[0, :, :2], xy)  # it pushed nobody
        gaps.append(env.gap[0])
    return {name: values[0] for name, values in step.episodes.items()}, np.array(gaps)


@settings(deadline=None, max_examples=60)
@given(swarm=swarms(), visits=st.lists(visits, min_size=4, max_size=4))
def test_the_training_simulator_and_the_judge_count_the_same(swarm, visits):
    places = tracks_of(swarm, visits)
    figures, gaps = trained(swarm, places)
    end = (len(places) - 1) * SAMPLE_PERIOD
    times = np.linspace(0.0, end, len(places))
    tracks = {one.name: Track(times, places[:, index], np.zeros(len(places))) for index, one in enumerate(swarm.robots)}
    result = judge(swarm, tracks, 0.0, end)

    def judged(field):
        return np.array([getattr(one, field) for one in result.robots], float)

    np.testing.assert_array_equal(judged("collisions"), figures["collisions"])
    np.testing.assert_array_equal(judged("goal_reached"), figures["success"])
    np.testing.assert_allclose(judged("time_to_goal"), figures["time_to_goal"])
    np.testing.assert_allclose(judged("minimum_clearance"), figures["clearance"], atol=0.00051)
    if swarm.targets:
        assert result.totals.goals_reached_share == pytest.approx(figures["covered"][0], abs=1e-4)
    else:
        assert result.totals.goals_reached_share == pytest.approx(figures["success"].mean(), abs=1e-4)
    radius = np.array([swarm.robot_type(one).radius for one in swarm.robots])
    np.testing.assert_allclose(definitions.gaps(places, radius, swarm.world)[1:], gaps, atol=1e-8)
