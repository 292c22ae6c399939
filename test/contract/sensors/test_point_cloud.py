"""A point cloud: its term, what a robot must have for it, both simulators, and the scan guard."""

import math

import msgspec
import numpy as np
import pytest
import yaml
from msgspec.structs import replace

from kdmarl_core.contract import KdmarlError, Readings, load_robot_types, observe
from kdmarl_core.contract.sensors import PointCloud, PointCloudSensor, Sensors
from kdmarl_core.envs.base import STUDENT
from kdmarl_core.envs.robots.navigation import Navigation, NavigationConfig
from kdmarl_core.export.foreign.samples import random_observations
from kdmarl_core.mujoco.world import MujocoWorld
from kdmarl_core.runtime import ScanGuard
from sim_support import make_swarm, robot
from support import REPOSITORY, ROBOT_TYPES

TYPES = load_robot_types(ROBOT_TYPES)
SENSOR = PointCloudSensor(columns=16, range=3.0, min_range=0.3, fov=1.6, heights=(-0.1, 0.5), noise=0.0)
ROBOT = replace(TYPES["scout"], sensors=Sensors(point_cloud=SENSOR))
TERM = PointCloud(sectors=16, range=3.0, fov=1.6)
TASK = yaml.safe_load((REPOSITORY / "config/navigation.yaml").read_text())["task"]

A_METRE_AHEAD = (1 / np.cos(SENSOR.rays)).reshape(16, 3).min(-1)
"""What it sees of a long wall [m]."""


def cloud(**columns):
    """A reading of 2 m all over, but in some columns."""
    distance = np.full(16, 2.0)
    for column, value in columns.items():
        distance[int(column[1:])] = value
    return Readings(more={"point_cloud": SENSOR.scan(distance)})


def types_file(tmp_path, **settings):
    types = yaml.safe_load(ROBOT_TYPES.read_text())
    types["scout"]["sensors"] = {"point_cloud": {"columns": 16, "range": 3.0, "fov": 1.6, **settings}}
    path = tmp_path / "robots.yaml"
    path.write_text(yaml.safe_dump(types))
    return path


def test_robot_types_carry_it_and_others_are_what_they_were(tmp_path):
    carried = load_robot_types(types_file(tmp_path, heights=[-0.1, 0.5]))["scout"].sensors.carried
    assert carried["point_cloud"] == replace(SENSOR, min_range=0.05, noise=0.01)
    assert msgspec.to_builtins(TYPES["scout"])["sensors"].keys() == {"lidar", "range_sensors"}
    with pytest.raises(KdmarlError, match=r"heights is \[0.5, -0.1\]; give \[lowest, highest\]"):
        load_robot_types(types_file(tmp_path, heights=[0.5, -0.1]))


def test_the_term_reads_the_nearest_in_each_sector():
    readings = cloud(c3=0.5, c4=np.nan, c5=np.inf, c6=0.1)
    # What says nothing, and what is too near to be measured, reads as the open; the guard sees to those.
    assert observe([TERM], readings).tolist() == [2.0] * 3 + [0.5] + [3.0] * 3 + [2.0] * 9
    coarse = PointCloud(sectors=4, range=1.5, fov=1.6, past=1)
    now_and_past = observe([coarse], readings._replace(history=(cloud(c15=1.0),)))
    assert now_and_past.tolist() == [0.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.0]
    with pytest.raises(KdmarlError, match="'point_cloud' needs a point cloud, which this robot does not give"):
        observe([TERM], Readings())


@pytest.mark.parametrize(
    ("term", "carried", "message"),
    [
        (TERM, SENSOR, None),
        (PointCloud(sectors=4, range=2.0, fov=1.0), SENSOR, None),
        (TERM, None, "needs a point cloud, the robot has none"),
        (PointCloud(sectors=17, range=3.0, fov=1.6), SENSOR, "needs 17 columns of a point cloud, the robot's has 16"),
        (
            PointCloud(sectors=16, range=3.5, fov=1.6),
            SENSOR,
            "needs 3.5 m of range of a point cloud, .* has 3",
        ),
        (PointCloud(sectors=16, range=3.0, fov=2.0), SENSOR, "needs 2 rad of field of view .* the robot's has 1.6"),
    ],
)
def test_what_a_robot_must_have(term, carried, message):
    found = term.lacks(carried)
    assert term.untrainable(carried) == "; ".join(found)
    if message is None:
        assert found == []
    else:
        with pytest.raises(ValueError, match=message):
            raise ValueError(*found)


def test_random_observations_lie_within_its_range():
    rows = random_observations([TERM, PointCloud(4, 1.0, 0.8)], ROBOT.action, 500, np.random.default_rng(0))
    assert rows.shape == (500, 20)
    assert 2.9 < rows[:, :16].max() <= 3.0
    assert rows[:, 16:].max() <= 1.0
    assert rows.min() >= 0


@pytest.fixture
def env(tmp_path):
    """Two scouts in an empty arena of 6 m, without noise."""
    terms = [msgspec.to_builtins(TERM) | {"past": 1}, {"term": "goal", "range": 5.0}]
    changes = {
        "robot_types": str(types_file(tmp_path, heights=[-0.1, 0.5], min_range=0.3)),
        "team": {"scout": 2},
        "observations": {"expert": {"scout": terms}, "student": {"scout": terms}},
        "arena": [6, 6],
        "discs": [0, 0],
        "walls": [0, 0],
        "randomization": {"noise": [0.0, 0.0], "dropout": [0.0, 0.0], "delay": [0.0, 0.0]},
    }
    env = Navigation(msgspec.convert(TASK | changes, NavigationConfig), REPOSITORY / "config", 2)
    env.reset(0)
    return env


def test_the_training_simulator_sees_walls_and_robots_and_remembers(env):
    still = {"scout": np.zeros((2, 2, 2))}
    env.pose[:, 0] = (2.0, 0.0, 0.0)
    env.pose[:, 1] = (-2.0, 0.0, 0.0)
    env.step(still)
    env.pose[:, 1] = (2.0, 0.68, 0.0)  # with its side 0.5 m to the left
    env.pose[:, 0, 2] = math.pi / 2
    env.step(still)
    seen = env.observe(STUDENT)["scout"][:, 0]
    now, past = seen[:, :16], seen[:, 16:32]
    np.testing.assert_allclose(past, np.tile(A_METRE_AHEAD, (2, 1)), atol=1e-3)
    assert now[:, 7:9] == pytest.approx(0.5, abs=0.005)
    assert (now[:, [0, 15]] > 1.0).all()


def test_a_task_refuses_what_the_sensor_lacks(tmp_path):
    terms = {"scout": [{"term": "point_cloud", "sectors": 16, "range": 4.0, "fov": 1.6}]}
    changes = {
        "robot_types": str(types_file(tmp_path, heights=[-0.1, 0.5])),
        "team": {"scout": 1},
        "observations": {"expert": terms, "student": terms},
    }
    with pytest.raises(KdmarlError, match="student.scout: the policy needs 4 m of range of a point cloud"):
        Navigation(msgspec.convert(TASK | changes, NavigationConfig), REPOSITORY / "config", 1)


def test_mujoco_sees_the_same(tmp_path):
    swarm = make_swarm([robot("me", pose=(3.0, 0.0, 0.0)), robot("other", pose=(3.0, 2.0, 0.0))])
    swarm = replace(swarm, robot_types={"scout": ROBOT})
    world = MujocoWorld(swarm)
    np.testing.assert_allclose(world.sense("me", "point_cloud"), A_METRE_AHEAD, atol=1e-3)
    assert world.scan("me") is None
    far = MujocoWorld(replace(swarm, robots=[robot("me", pose=(-3.0, 0.0, 0.0))])).sense("me", "point_cloud")
    assert np.isposinf(far).all()
    near = MujocoWorld(replace(swarm, robots=[robot("me", pose=(3.75, 0.0, 0.0))])).sense("me", "point_cloud")
    assert np.isneginf(near[7:9]).all()


@pytest.mark.parametrize(
    ("readings", "free"),
    [
        (cloud(), True),
        (cloud(c7=0.25), False),  # nearer than it measures well
        (cloud(c7=0.25, c8=0.25), False),
        (cloud(c7=0.25, c8=np.nan), False),
        (cloud(c0=0.6), True),  # to the right of the way
        (cloud(**{f"c{column}": np.nan for column in range(1, 16)}), True),  # as the one column that says something
        (cloud(**{f"c{column}": np.nan for column in range(1, 16)} | {"c0": 0.25}), False),
    ],
)
def test_the_scan_guard_stops_short_of_it(readings, free):
    guard = ScanGuard(ROBOT.action, ROBOT, 0.1)
    last, command = np.array([0.3, 0.0], np.float32), np.array([0.4, 0.0], np.float32)
    assert (guard(readings, last, command).tolist() == command.tolist()) == free
