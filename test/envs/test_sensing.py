"""Sensors of the training simulator: where they are mounted, how often they speak, what hides them."""

import msgspec
import numpy as np
import pytest
import yaml

from kdmarl_core.contract import KdmarlError
from kdmarl_core.envs.base import STUDENT
from kdmarl_core.envs.robots.navigation import Navigation, NavigationConfig
from support import ROBOT_TYPES

QUIET = {name: [0.0, 0.0] for name in ("noise", "dropout", "delay", "odometry_noise")}
TERMS = [{"term": "lidar", "sectors": 36, "range": 3.5}]


@pytest.fixture
def make(tmp_path):
    """Environments of scouts whose lidar is changed."""

    def call(terms=None, **lidar):
        types = yaml.safe_load(ROBOT_TYPES.read_text())
        types["scout"]["sensors"]["lidar"] |= lidar
        (tmp_path / "robots.yaml").write_text(yaml.safe_dump(types))
        views = {view: {"scout": terms or TERMS} for view in ("expert", "student")}
        task = {"kind": "navigation", "robot_types": "robots.yaml", "team": {"scout": 3}, "observations": views}
        config = msgspec.convert(task | {"randomization": QUIET}, NavigationConfig)
        env = Navigation(config, tmp_path, 32)
        env.reset(5)
        return env

    return call


def steps(env, count):
    """Sectors of the scouts, (count, B, N, sectors), while they turn."""
    seen = []
    for _ in range(count):
        env.step({"scout": np.broadcast_to(np.array([0.3, 1.0], np.float32), (32, 3, 2))})
        seen.append(env.observe(STUDENT)["scout"].copy())
    return np.array(seen)


@pytest.mark.parametrize("upside_down", [False, True])
def test_a_mounted_lidar_sees_the_same_world_around_the_robot(make, upside_down):
    expected = steps(make(beams=720), 5)
    got = steps(make(beams=720, mounting={"x": -0.1, "y": 0.05, "yaw": 1.2, "upside_down": upside_down}), 5)
    # What is behind an edge is seen from one place and not from the other.
    assert np.median(np.abs(got - expected)) < 0.01
    assert (np.abs(got - expected) < 0.1).mean() > 0.9


def test_a_turned_lidar_at_the_centre_sees_the_very_same(make):
    np.testing.assert_allclose(steps(make(beams=360, mounting={"yaw": np.pi}), 5), steps(make(beams=360), 5), atol=2e-3)


@pytest.mark.parametrize(("rate", "share"), [(5.0, 0.5), (2.5, 0.25), (7.5, 0.75), (10.0, 1.0), (40.0, 1.0)])
def test_a_lidar_speaks_as_often_as_its_rate_says(make, rate, share):
    seen = steps(make(rate=rate), 41)
    fresh = (seen[1:] != seen[:-1]).any(-1)
    assert fresh.mean() == pytest.approx(share, abs=0.01)
    if share == 0.5:  # each robot's at its own moments
        assert (fresh[1:] != fresh[:-1]).all()
        assert 0.3 < fresh[0].mean() < 0.7


def test_beams_that_the_robot_hides_say_nothing(make):
    seen = steps(make(hidden=[[-0.3, 0.3]]), 3)
    assert (seen[..., 17:19] == 3.5).all()
    assert (seen[..., :10] < 3.5).any()


def test_range_sensors_on_a_circle_measure_from_where_they_are(make, tmp_path):
    ring = {"bearings": [0.0, 1.57, 3.14, -1.57], "range": 3.5, "fov": 0.2}
    terms = [{"term": "range_sensors", "count": 4, "range": 3.5}]

    def seen(**changes):
        types = yaml.safe_load(ROBOT_TYPES.read_text())
        types["scout"]["sensors"] = {"range_sensors": ring | changes}
        (tmp_path / "ring.yaml").write_text(yaml.safe_dump(types))
        views = {view: {"scout": terms} for view in ("expert", "student")}
        task = {"kind": "navigation", "robot_types": "ring.yaml", "team": {"scout": 3}, "observations": views}
        env = Navigation(
            msgspec.convert(task | {"randomization": QUIET, "privileged_beams": 720}, NavigationConfig), tmp_path, 32
        )
        env.reset(5)
        return steps(env, 3)

    centre, rim = seen(), seen(circle=0.1)
    near = (centre > 0.3) & (centre < 3.0)
    assert near.mean() > 0.3
    assert np.median((centre - rim)[near]) == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize(
    ("term", "words"),
    [
        ({"range": 4.0}, r"task.observations.student.scout: a term reaches 4.0 m, the sensor 3.5 m; lower it"),
        ({"fov": 6.0}, r"task.observations.student.scout: the policy needs a lidar that looks 3.00 rad to each side"),
    ],
)
def test_what_a_term_needs_of_a_sensor_is_checked_before_training(make, term, words):
    with pytest.raises(KdmarlError, match=words):
        make(terms=[TERMS[0] | term], fov=4.0)


def test_a_field_of_view_that_is_rounded_is_the_same(make):
    assert make(terms=[TERMS[0] | {"fov": 6.283}], fov=6.28).observe(STUDENT)["scout"].shape == (32, 3, 36)


def test_range_sensors_at_the_centre_use_the_rays_that_are_lent():
    """One set of rays, so that a robot's noise is drawn as it always was."""
    terms = [{"term": "range_sensors", "count": 8, "range": 2.0}]
    task = {
        "kind": "navigation",
        "robot_types": ROBOT_TYPES.name,
        "team": {"mini": 3},
        "observations": {view: {"mini": terms} for view in ("expert", "student")},
    }
    env = Navigation(msgspec.convert(task, NavigationConfig), ROBOT_TYPES.parent, 2)
    env.reset(0)
    (rays,) = env._sensors._rays["mini"]
    assert rays.readers.keys() == {"lidar", "range_sensors"}
