"""Swarm files: every mistake is found before anything moves."""

from pathlib import Path

import pytest
import yaml

from kdmarl_core.contract import KdmarlError, load_swarm
from kdmarl_core.contract.swarm import World, world_clearance
from support import ROBOT_TYPES, write_policy


@pytest.fixture
def swarm_data(tmp_path):
    write_policy(tmp_path / "scout.onnx", "scout")
    return {
        "schema_version": 1,
        "name": "pair",
        "task": "navigation",
        "robot_types": str(ROBOT_TYPES),
        "policies": {"scout": "scout.onnx"},
        "world": {"size": [6, 6], "discs": [[0, 0, 0.3]], "walls": [[1, 1, 2, 1]]},
        "robots": [
            {"name": "scout_1", "type": "scout", "pose": [-2, 0, 0], "goal": [2, 0]},
            {"name": "scout_2", "type": "scout", "pose": [2, -1, 3.1], "goal": [-2, -1]},
        ],
    }


def write(tmp_path: Path, data: dict) -> Path:
    path = tmp_path / "swarm.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


def test_paths_are_resolved_beside_the_file(tmp_path, swarm_data):
    swarm = load_swarm(write(tmp_path, swarm_data))
    assert swarm.policies["scout"] == tmp_path / "scout.onnx"
    assert swarm.robot_type(swarm.robots[0]).radius == 0.18
    assert swarm.frame == "map"
    assert [robot.name for robot in swarm.only(["scout_2"]).robots] == ["scout_2"]
    with pytest.raises(KdmarlError, match="no robot 'x'; the swarm has scout_1, scout_2"):
        swarm.only(["x"])


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda d: d["robots"][1].update(name="scout_1"), r"robots\[1\]: a robot named 'scout_1' already exists"),
        (lambda d: d["robots"][0].update(name="Scout-1"), "'Scout-1' is no ROS name"),
        (lambda d: d["robots"][0].update(type="tank"), "type 'tank' is not in robot_types"),
        (lambda d: d["robots"][0].update(type="mini"), "type 'mini' is not in policies"),
        (lambda d: d["robots"][0].update(gaol=[0, 0]), "unknown key 'gaol'; did you mean 'goal'"),
        (lambda d: d["robots"][0].update(pose=[0, 1]), r"\$\.robots\[0\]\.pose"),
        (lambda d: d["robots"][0].update(pose=[0.1, 0, 0]), "pose .* touches a wall or pillar"),
        (lambda d: d["robots"][0].update(goal=[9, 0]), "goal .* touches a wall or pillar"),
        (lambda d: d["robots"][0].update(goal=[1.5, 1.1]), "goal .* touches a wall or pillar"),
        (lambda d: d["robots"][0].update(goal=[float("nan"), 0]), "not finite"),
        (lambda d: d["robots"][1].update(pose=[-2, 0.1, 0]), "pose .* overlaps that of robot 'scout_1'"),
        (lambda d: d["robots"][1].update(goal=[2, 0.2]), "goal .* overlaps that of robot 'scout_1'"),
        (lambda d: d["robots"][1].pop("goal"), "'scout_2' has no goal; give it a goal, or the file targets"),
        (lambda d: d.update(targets=[[2, 0], [-2, 1]]), "'scout_1' has a goal although the file has targets"),
        (lambda d: d.update(landmarks=[[0, 9]]), r"\$\.landmarks\[0\]: place .* touches a wall or pillar"),
        (lambda d: d.update(robots=[]), "length >= 1"),
        (lambda d: d.update(schema_version=9), "schema_version is 9"),
        (lambda d: d["policies"].update(scout="gone.onnx"), "gone.onnx: no such file"),
        (lambda d: d.update(robot_types="gone.yaml"), "gone.yaml: no such file"),
        (lambda d: d["world"].update(size=[6, -1]), "> 0"),
        (lambda d: d.update(frame=""), r"\$\.frame"),
        (lambda d: d.update(defaults={"sensor_timeout": 0.01}), r"\$\.defaults\.sensor_timeout: .*0\.05"),
        (lambda d: d.update(defaults={"sensor_timeout": 11}), r"\$\.defaults\.sensor_timeout: .*10"),
    ],
)
def test_mistakes_are_named(tmp_path, swarm_data, edit, message):
    edit(swarm_data)
    with pytest.raises(KdmarlError, match=message) as caught:
        load_swarm(write(tmp_path, swarm_data))
    assert "\n" not in str(caught.value)


@pytest.fixture
def covering(swarm_data):
    """The same swarm with targets instead of goals."""
    robots = [{key: value for key, value in robot.items() if key != "goal"} for robot in swarm_data["robots"]]
    return swarm_data | {"robots": robots, "targets": [[2, 0], [-2, 1], [-2, -1]]}


def test_targets_stand_in_for_goals(tmp_path, covering):
    swarm = load_swarm(write(tmp_path, covering))
    assert swarm.targets == [(2, 0), (-2, 1), (-2, -1)]
    assert [robot.goal for robot in swarm.robots] == [None, None]
    assert swarm.only(["scout_1"]).targets == swarm.targets


def test_targets_and_landmarks_exclude_each_other(tmp_path, covering):
    with pytest.raises(KdmarlError, match="has landmarks although it has targets; take out one of both"):
        load_swarm(write(tmp_path, covering | {"landmarks": [[0, 0.5]]}))


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ([0.55, 0], r"\$\.targets\[1\]: place \[0\.55, 0\] touches a wall or pillar \(radius 0\.3 m\); move it"),
        ([2.8, -1], "touches a wall or pillar"),
        ([4, 0], "touches a wall or pillar"),
        ([1.5, 1.2], "touches a wall or pillar"),
        ([2, 0.45], r"\$\.targets\[1\]: place .* overlaps that of \$\.targets\[0\]; move one of them"),
        ([float("inf"), 0], r"\$\.targets\[1\]: place .* is not finite"),
        ([1], r"\$\.targets\[1\]: "),
    ],
)
def test_targets_are_free_for_the_largest_robot(tmp_path, covering, target, message):
    write_policy(tmp_path / "carrier.onnx", "carrier")
    covering["policies"]["carrier"] = "carrier.onnx"
    covering["robots"][1]["type"] = "carrier"
    covering["targets"][1] = target
    with pytest.raises(KdmarlError, match=message):
        load_swarm(write(tmp_path, covering))


@pytest.mark.parametrize(
    ("point", "clearance"), [((0, 0), -0.5), ((2, 0), 1.0), ((0, 1.5), 0.5), ((-2.5, 0), 0.5), ((0, -2), 1.0)]
)
def test_world_clearance(point, clearance):
    world = World(size=(6, 6), discs=[(0, 0, 0.5)], walls=[(-1, 2, 1, 2)])
    assert world_clearance(world, *point) == pytest.approx(clearance)
