"""Swarm files: every mistake is found before anything moves."""

import shutil
from pathlib import Path

import pytest
import yaml

from kdmarl_core.contract import KdmarlError, load_swarm
from kdmarl_core.contract.swarm import project
from kdmarl_core.contract.worlds import World, world_clearance
from support import ROBOT_TYPES, write_policy


@pytest.fixture
def swarm_data(tmp_path):
    write_policy(tmp_path / "scout.onnx", "scout")
    shutil.copy(ROBOT_TYPES, tmp_path)
    return {
        "schema_version": 1,
        "name": "pair",
        "task": "navigation",
        "robot_types": ROBOT_TYPES.name,
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
        (lambda d: d["robots"][0].update(name="Scout-1"), r"robots\[0\]: name 'Scout-1' cannot be a ROS namespace"),
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
        (lambda d: d["policies"].update(scout="a\0b"), "is not a path"),
        (lambda d: d["policies"].update(scout="a" * 5000), "is not a path"),
        (lambda d: d["world"].update(size=[6, -1]), "> 0"),
        (lambda d: d["world"].update(size=[6, float("inf")]), r"\$\.world\.size\[1\]"),
        (lambda d: d["world"]["walls"].append([0, 0, 1e300, 1]), r"\$\.world\.walls\[1\]\[2\]: .*1000000000"),
        (lambda d: d["world"]["discs"].append([float("nan"), 0, 1]), r"\$\.world\.discs\[1\]\[0\]"),
        (lambda d: d.update(frame=""), r"\$\.frame"),
        (lambda d: d.update(defaults={"sensor_timeout": 0.01}), r"\$\.defaults\.sensor_timeout: .*0\.05"),
        (lambda d: d.update(defaults={"sensor_timeout": 11}), r"\$\.defaults\.sensor_timeout: .*10"),
        (lambda d: d.update(type_parameters={"scuot": {}}), "'scuot' is not in robot_types; did you mean 'scout'"),
        (lambda d: d.update(type_parameters={"scout": {"triger": 1}}), "unknown key 'triger'; did you mean 'trigger'"),
        (lambda d: d["robots"][0].update(parameters={"trigger": "now"}), r"\$\.robots\[0\]\.parameters\.trigger"),
        (
            lambda d: d["robots"][0].update(parameters={"remappings": {"odom": "odometry//filtered"}}),
            "robot 'scout_1': remappings: odom: 'odometry//filtered' is not the name of a topic",
        ),
    ],
)
def test_mistakes_are_named(tmp_path, swarm_data, edit, message):
    edit(swarm_data)
    with pytest.raises(KdmarlError, match=message) as caught:
        load_swarm(write(tmp_path, swarm_data))
    assert "\n" not in str(caught.value)


def test_a_robots_own_parameters_go_before_those_of_its_type_and_of_all(tmp_path, swarm_data):
    swarm_data["defaults"] = {"sensor_timeout": 1.0, "trigger": "sensor", "remappings": {"odom": "a", "scan": "b"}}
    swarm_data["type_parameters"] = {"scout": {"sensor_timeout": 2.0, "remappings": {"odom": "c"}}}
    swarm_data["robots"][0]["parameters"] = {"sensor_timeout": 3.0, "scan_guard": True, "remappings": {"cmd_vel": "/d"}}
    swarm = load_swarm(write(tmp_path, swarm_data))
    first, second = (swarm.parameters(robot) for robot in swarm.robots[:2])
    assert (first.sensor_timeout, first.trigger, first.scan_guard) == (3.0, "sensor", True)
    assert first.remappings == {"odom": "c", "scan": "b", "cmd_vel": "/d"}
    assert (second.sensor_timeout, second.trigger, second.scan_guard) == (2.0, "sensor", None)
    assert second.remappings == {"odom": "c", "scan": "b"}


def test_files_of_others_are_named_by_permission_only(tmp_path, swarm_data):
    """A file that was copied from somewhere cannot make robots run what lies elsewhere, by links neither."""
    home = tmp_path / "mine"
    home.mkdir()
    (home / "robots.yaml").symlink_to(ROBOT_TYPES)
    (home / "link.onnx").symlink_to(tmp_path / "scout.onnx")
    (home / "own.onnx").write_bytes((tmp_path / "scout.onnx").read_bytes())
    for types, policy, key in (
        (str(ROBOT_TYPES), "own.onnx", "robot_types"),
        ("robots.yaml", "own.onnx", "robot_types"),
        ("../robots.yaml", "own.onnx", "robot_types"),
        ("own.yaml", "../scout.onnx", "policies"),
        ("own.yaml", "link.onnx", "policies"),
        ("own.yaml", str(tmp_path / "scout.onnx"), "policies"),
        ("own.yaml", "/dev/zero", "policies"),
    ):
        shutil.copy(ROBOT_TYPES, home / "own.yaml")
        path = write(home, swarm_data | {"robot_types": types, "policies": {"scout": policy}})
        with pytest.raises(KdmarlError, match=f"{key}: .* is outside of {home}; move it there"):
            load_swarm(path)
        if policy != "/dev/zero":
            assert load_swarm(path, allow_outside=True).robots
    path = write(home, swarm_data | {"robot_types": "own.yaml", "policies": {"scout": str(home / "own.onnx")}})
    assert load_swarm(path).policies["scout"] == home / "own.onnx"


@pytest.mark.parametrize(
    ("marker", "file", "root"),
    [
        (None, "a/b/swarm.yaml", "a/b"),
        ("package.xml", "runs/x/swarm.yaml", ""),
        ("a/package.xml", "a/b/swarm.yaml", "a"),
        (None, "a/config/swarms/swarm.yaml", "a"),
        (None, "a/config.d/swarm.yaml", "a/config.d"),
        ("a/config/b/package.xml", "a/config/b/c/swarm.yaml", "a/config/b"),
        ("a/config/x", "a/swarm.yaml", "a"),
    ],
)
def test_a_project_is_found_by_package_xml_or_config(tmp_path, marker, file, root):
    if marker:
        (tmp_path / marker).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / marker).touch()
    assert project(tmp_path / file) == tmp_path / root


def test_a_project_is_never_the_whole_disk():
    assert project(Path("/config/swarms/swarm.yaml")) == Path("/config/swarms")


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
