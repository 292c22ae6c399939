"""Compiled loops against plain geometry."""

import math

import numpy as np
import pytest

from kdmarl_core.contract import DiffDrive
from kdmarl_core.contract.kinematics import KINDS, Holonomic
from kdmarl_core.contract.sensors.base import Fan
from kdmarl_core.envs.robots import kernels
from kdmarl_core.envs.robots.rays import Beams, cast
from kdmarl_core.judge import definitions

TURN = 2 * math.pi


def slow_range(origin, angle, robots, discs, walls, max_range):
    """Distance along one ray by plain geometry."""
    direction = np.array([math.cos(angle), math.sin(angle)])
    best = max_range
    for x, y, r in [*robots, *(disc for disc in discs if disc[2] > 0)]:
        to = np.array([x, y]) - origin
        along = to @ direction
        beside2 = to @ to - along**2
        if beside2 <= r**2 and along > 0:
            best = min(best, along - math.sqrt(r**2 - beside2))
    for x1, y1, x2, y2 in walls:
        if math.isnan(x1):
            continue
        matrix = np.array([direction, [x1 - x2, y1 - y2]]).T
        if abs(np.linalg.det(matrix)) < 1e-12:
            continue
        hit, share = np.linalg.solve(matrix, np.array([x1, y1]) - origin)
        if hit >= 0 and 0 <= share <= 1:
            best = min(best, hit)
    return best


@pytest.mark.parametrize(
    ("beams", "fov", "max_range"), [(360, TURN, 4.5), (36, TURN, 9.0), (270, 1.5 * math.pi, 5.0), (7, 0.4, 6.0)]
)
@pytest.mark.parametrize(("yaw", "x", "y"), [(0.0, 0.0, 0.0), (1.6, -0.04, 0.03), (-3.0, 0.0, 0.0), (-1.57, 0.0, 0.0)])
def test_rays_match_plain_geometry(beams, fov, max_range, yaw, x, y):
    rng = np.random.default_rng(beams)
    envs, robots = 5, 4
    pose = np.concatenate([rng.uniform(-3, 3, (envs, robots, 2)), rng.uniform(-9, 9, (envs, robots, 1))], -1)
    radius = np.array([0.1, 0.2, 0.3, 0.15])
    discs = np.concatenate([rng.uniform(-4, 4, (envs, 6, 2)), rng.uniform(-0.2, 0.5, (envs, 6, 1))], -1)
    walls = rng.uniform(-4, 4, (envs, 5, 4))
    walls[:, 3] = np.nan
    for b in range(envs):  # no ray starts inside a disc
        for k in range(6):
            if (np.hypot(*(pose[b, :, :2] - discs[b, k, :2]).T) < discs[b, k, 2] + 0.05).any():
                discs[b, k, 2] = 0
    fan = Fan(yaw - fov / 2, fov / beams, beams, x, y)
    out = np.empty((envs, 2, beams), np.float32)
    cast(pose, radius, 1, 3, discs, walls, Beams.of(fan, max_range), out)
    differing = 0
    for b in range(envs):
        for i in (1, 2):
            others = [(*pose[b, k, :2], radius[k]) for k in range(robots) if k != i]
            cos, sin = np.cos(pose[b, i, 2]), np.sin(pose[b, i, 2])
            place = pose[b, i, :2] + (cos * x - sin * y, sin * x + cos * y)
            for n, angle in enumerate(fan.angles):
                expected = slow_range(place, pose[b, i, 2] + angle, others, discs[b], walls[b], max_range)
                differing += abs(out[b, i - 1, n] - expected) > 2e-3
    # Rays that graze an edge may round to either side of it.
    assert differing <= 0.002 * out.size + 1


def move(
    pose, command, steps, *, delay=0, discs=(), walls=(), radius=0.2, acceleration=(1.0, 4.0), gain=(1.0, 1.0),
    base=DiffDrive,
):  # fmt: skip
    pose = np.array([pose], float)
    robots, values = pose.shape[1], len(command)
    velocity, robot_gap, gap = np.zeros((1, robots, values)), np.zeros((1, robots)), np.zeros((1, robots))
    commands, bases = np.zeros((3, 1, robots, values)), np.full(robots, kernels.BASES[base])
    gaps = []
    for _ in range(steps):
        commands = np.roll(commands, 1, 0)
        commands[0] = command
        kernels.advance(
            bases, pose, velocity, commands, np.full((1, robots), delay), np.tile(gain, (1, robots, 1)),
            np.tile(acceleration, (robots, 1)), np.full(robots, radius), np.array([discs or [(0, 0, 0)]], float),
            np.array([walls or [(np.nan,) * 4]], float), 0.05, 2, robot_gap, gap,
        )  # fmt: skip
        gaps.append(np.minimum(robot_gap, gap)[0].copy())
    return pose[0], velocity[0], np.array(gaps)


def test_acceleration_and_speed():
    pose, velocity, _ = move([(0, 0, 0)], (0.5, 0), 10)
    # 0.5 s of acceleration at 1 m/s², then 0.5 s at 0.5 m/s; Euler steps of 0.05 s run half a step ahead.
    assert velocity[0].tolist() == pytest.approx([0.5, 0])
    assert pose[0, 0] == pytest.approx(0.125 + 0.25, abs=0.5 * 0.05 * 0.5 + 1e-9)


def test_turning_in_place_and_in_a_circle():
    pose, _, _ = move([(0, 0, 0)], (0, 1.0), 100, acceleration=(1, 1e9))
    assert pose[0] == pytest.approx([0, 0, (10.0 + math.pi) % TURN - math.pi], abs=1e-6)
    pose, _, _ = move([(0, 0, 0)], (1.0, 1.0), 31, acceleration=(1e9, 1e9))
    assert np.hypot(pose[0, 0], pose[0, 1] - 1.0) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("delay", [0, 1, 2, 3, 4])
def test_delay_shifts_the_motion(delay):
    prompt, _, _ = move([(0, 0, 0)], (0.5, 0), 20, acceleration=(1e9, 1e9))
    late, _, _ = move([(0, 0, 0)], (0.5, 0), 20, acceleration=(1e9, 1e9), delay=delay)
    assert prompt[0, 0] - late[0, 0] == pytest.approx(0.5 * 0.05 * delay)


def test_gain_scales_the_speed():
    _, velocity, _ = move([(0, 0, 0)], (0.5, 0.5), 20, gain=(1.1, 0.9))
    assert velocity[0].tolist() == pytest.approx([0.55, 0.45])


@pytest.mark.parametrize("obstacle", [{"discs": [(1.0, 0, 0.3)]}, {"walls": [(0.7, -1, 0.7, 1)]}])
def test_obstacles_stop_a_robot(obstacle):
    pose, velocity, gaps = move([(0, 0, 0)], (0.5, 0), 60, **obstacle)
    assert pose[0, 0] == pytest.approx(0.5, abs=0.03)
    assert abs(velocity[0, 0]) <= 0.05
    assert gaps.min() < definitions.CONTACT


@pytest.mark.parametrize("kinematics", KINDS)
def test_compiled_motion_is_that_of_the_contract(kinematics):
    limits = [(-1.0, 1.0)] * len(kinematics.axes)
    space = kinematics(*limits, *[1.0] * len(limits))
    for speeds in np.random.default_rng(0).uniform(-1, 1, (20, space.size)):
        motion = kernels._motion(kernels.BASES[kinematics], speeds)
        np.testing.assert_array_equal(motion, space.body_velocity(speeds))


def omni(pose, command, steps, **options):
    return move([pose], command, steps, base=Holonomic, **{"acceleration": (1e9,) * 3, "gain": (1,) * 3} | options)


def test_a_holonomic_base_moves_any_way():
    pose, velocity, _ = omni((0, 0, math.pi / 2), (0.3, 0.4, 0.0), 10)
    assert pose[0] == pytest.approx([-0.4, 0.3, math.pi / 2])
    assert velocity[0].tolist() == pytest.approx([0.3, 0.4, 0.0])
    pose, _, _ = omni((0, 0, 0), (0.0, 1.0, 1.0), 31)  # sideways on a circle to its left
    assert np.hypot(pose[0, 0] + 1.0, pose[0, 1]) == pytest.approx(1.0, abs=1e-3)
    _, velocity, _ = omni((0, 0, 0), (0.5, 0.5, 0.0), 2, acceleration=(1.0, 0.5, 1.0), gain=(1.0, 0.5, 1.0))
    assert velocity[0].tolist() == pytest.approx([0.2, 0.1, 0.0])


@pytest.mark.parametrize("obstacle", [{"discs": [(0, 1.0, 0.3)]}, {"walls": [(-9, 0.7, 9, 0.7)]}])
def test_obstacles_stop_a_holonomic_base_and_it_slides_along_walls(obstacle):
    pose, velocity, gaps = omni((0, 0, 0), (0.0, 0.5, 0.0), 60, acceleration=(1.0, 1.0, 4.0), **obstacle)
    assert pose[0, 1] == pytest.approx(0.5, abs=0.03)
    assert abs(velocity[0, 1]) <= 0.05
    assert gaps.min() < definitions.CONTACT
    if "walls" in obstacle:
        pose, _, _ = omni((0, 0, 0.3), (0.3, 0.5, 0.0), 60, acceleration=(1.0, 1.0, 4.0), **obstacle)
        assert pose[0, 1] == pytest.approx(0.5, abs=0.03)
        assert pose[0, 0] > 0.5


def test_robots_push_each_other_apart():
    pose, _, gaps = move([(-0.5, 0, 0), (0.5, 0, math.pi)], (0.5, 0), 40)
    assert np.hypot(*(pose[0, :2] - pose[1, :2])) >= 0.4 - 1e-6
    assert (gaps.min(0) < definitions.CONTACT).all()


def test_on_course_finds_the_most_urgent_approach():
    pose = np.array([[[0, 0, 0], [2, 0.1, 0], [0, 5, 0], [-1, 0, 0]]], float)
    velocity = np.array([[[1.0, 0], [0, 0], [0, 0.5], [0.8, 0]]])
    radius = np.array([0.2, 0.2, 0.2, 0.2])
    got = np.empty((1, 4))
    kernels.on_course(pose, velocity, radius, 0.3, 4.0, got)
    both = 1 * (1 - 2 / 4)  # 0 and 1 meet after 2 s
    assert got[0, :2].tolist() == pytest.approx([both, both])
    assert got[0, 2] == 0  # drives away from everyone
    assert got[0, 3] == pytest.approx(1 * (1 - 3 / 0.8 / 4))  # slower than 0, faster than 1
    kernels.on_course(pose, velocity, radius, 0.3, 1.0, got)
    assert (got == 0).all()  # all of it is too far ahead


def test_on_course_weighs_the_gap_in_passing():
    pose = np.array([[[0, 0, 0], [1, 0.55, 0]]], float)
    velocity = np.array([[[1.0, 0], [0, 0]]])
    got = np.empty((1, 2))
    kernels.on_course(pose, velocity, np.array([0.2, 0.2]), 0.3, 2.0, got)
    assert got[0].tolist() == pytest.approx([0.5 * 0.5] * 2)
