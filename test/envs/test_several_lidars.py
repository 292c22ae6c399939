"""Students with two lidars see in training what those with one see."""

import math

import msgspec
import numpy as np
import pytest
import yaml

from kdmarl_core.contract import KdmarlError
from kdmarl_core.envs.base import STUDENT
from kdmarl_core.envs.robots.config import Randomization
from kdmarl_core.envs.robots.navigation import Navigation, NavigationConfig

CALM = Randomization(noise=(0, 0), dropout=(0, 0), delay=(0, 0), gain=(1, 1), odometry_noise=(0, 0))
ACTION = {
    "kind": "diff_drive", "linear": [-0.3, 0.8], "angular": [-2.0, 2.0],
    "linear_acceleration": 1.5, "angular_acceleration": 6.0,
}  # fmt: skip
HALF = {"beams": 540, "range": 4.0, "fov": 1.5 * math.pi}
ONE = {"lidar": HALF | {"fov": 2 * math.pi, "beams": 720}}
TWO = {
    "lidar": HALF | {"mounting": {"x": 0.05}},
    "more_lidars": {"rear": HALF | {"mounting": {"x": -0.05, "yaw": math.pi}}},
}
TERMS = [{"term": "lidar", "sectors": 36, "range": 3.5, "past": 2}]


def make(folder, sensors) -> Navigation:
    robot = {"radius": 0.2, "action": ACTION, "sensors": sensors}
    (folder / "robots.yaml").write_text(yaml.safe_dump({"rover": robot}))
    task = {
        "kind": "navigation", "robot_types": "robots.yaml", "team": {"rover": 3}, "arena": [5.0, 5.0],
        "observations": {view: {"rover": TERMS} for view in ("expert", "student")},
    }  # fmt: skip
    return Navigation(msgspec.structs.replace(msgspec.convert(task, NavigationConfig), randomization=CALM), folder, 30)


def observed(env) -> np.ndarray:
    env.reset(3)
    for _ in range(5):
        env.step({"rover": np.tile([0.3, 0.5], (30, 3, 1))})
    return env.observe(STUDENT)["rover"]


def test_two_lidars_see_what_one_sees(tmp_path):
    one, two = (observed(make(tmp_path, sensors)) for sensors in (ONE, TWO))
    assert np.mean(np.abs(one - two) < 0.05) > 0.95
    assert np.corrcoef(one.ravel(), two.ravel())[0, 1] > 0.98


def test_what_no_lidar_looks_at_is_refused(tmp_path):
    front = {"lidar": HALF, "more_lidars": {"second": HALF}}
    with pytest.raises(KdmarlError, match="student.rover: the policy needs lidars that look 3.14 rad to each side"):
        make(tmp_path, front)
