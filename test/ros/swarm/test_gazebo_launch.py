"""The launch files for Gazebo, on stand-ins of ``launch``, ``launch_ros`` and ``ros_gz``: what is started, and how."""

import importlib.util
import tempfile
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from kdmarl_core.contract import KdmarlError
from kdmarl_core.gazebo.files import BRIDGE, WORLD
from launch_stand_ins import module_of
from sim_support import robot, write_swarm
from support import REPOSITORY

pytest.importorskip("ament_index_python")
WORLD_OF = {"world": {"size": [9.0, 9.0]}}


@pytest.fixture(scope="module")
def swarm_launch():
    return module_of(REPOSITORY / "launch/swarm.launch.py")


@pytest.fixture(scope="module")
def gazebo_launch():
    return module_of(REPOSITORY / "launch/gazebo.launch.py")


@pytest.fixture
def launch(tmp_path, monkeypatch):
    """What a launch file starts with some arguments."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def call(module, **given):
        context = module.LaunchContext()
        context.launch_configurations.update(given)
        entities = module.generate_launch_description().entities
        return [action for entity in entities for action in entity.execute(context) or []]

    return call


@pytest.fixture
def ros_gz(gazebo_launch, tmp_path, monkeypatch):
    """A stand-in for the packages of ``ros_gz``."""
    monkeypatch.setattr(gazebo_launch, "get_package_share_directory", lambda package: str(tmp_path / package))


@pytest.mark.parametrize("count", [1, 6, 32])
def test_gazebo_its_bridge_and_all_robots_are_started(swarm_launch, gazebo_launch, launch, ros_gz, tmp_path, count):
    places = [(1.0 * (index % 7) - 3, 1.0 * (index // 7) - 3, 0.0) for index in range(count)]
    robots = [robot(f"r{index}", pose=place, goal=place[:2]) for index, place in enumerate(places)]
    path = write_swarm(tmp_path, robots, **WORLD_OF)
    include, *started = launch(swarm_launch, swarm=str(path), sim="gazebo", duration="30", gz_version="harmonic")
    assert Path(include.source.location).name == "gazebo.launch.py"
    nodes = [action for action in started if isinstance(action, swarm_launch.Node)]
    assert [node.name for node in nodes] == ["judge", "gazebo", *(each.name for each in robots)]
    server, bridge = launch(gazebo_launch, **include.arguments)
    assert Path(server.source.location) == tmp_path / "ros_gz_sim" / "launch" / "gz_sim.launch.py"
    *options, world = server.arguments["gz_args"].split()
    assert options == ["-r", "-v", "2", "--seed", "0", "-s"]
    assert server.arguments["gz_version"] == "8"
    models = ElementTree.parse(world).getroot().find("world").findall("model")
    assert [each.get("name") for each in models][-count:] == [f"robot:{each.name}" for each in robots]
    assert Path(world).name == WORLD
    assert (bridge.package, bridge.cmd[0]) == ("ros_gz_bridge", "parameter_bridge")
    entries = yaml.safe_load(Path(world).with_name(BRIDGE).read_text())
    assert len(entries) == 1 + 3 * count


def test_with_its_window_and_another_speed(swarm_launch, gazebo_launch, launch, ros_gz, tmp_path):
    path = write_swarm(tmp_path, [robot()], **WORLD_OF)
    include, *_ = launch(
        swarm_launch, swarm=str(path), sim="gazebo", headless="false", real_time_factor="0.5", seed="3",
        gz_version="fortress", lidars="physics",
    )  # fmt: skip
    server, _ = launch(gazebo_launch, **include.arguments)
    *options, world = server.arguments["gz_args"].split()
    assert options == ["-r", "-v", "2", "--seed", "3"]
    assert server.arguments["gz_version"] == "6"
    root = ElementTree.parse(world).getroot()
    assert root.find("world/physics/real_time_factor").text == "0.5"
    assert {each.get("type") for each in root.iter("sensor")} == {"lidar"}


@pytest.mark.parametrize(
    ("given", "changes", "words"),
    [
        ({"lockstep": "true"}, {}, "lockstep needs the built-in simulator, sim is 'gazebo'"),
        ({}, {"defaults": {"pose_source": "pose"}}, "pose_source is 'pose', and generated Gazebo worlds have no"),
        ({}, {"world": None}, "has no world to simulate"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_starts(swarm_launch, launch, tmp_path, given, changes, words):
    path = write_swarm(tmp_path, [robot()], **WORLD_OF | changes)
    with pytest.raises(KdmarlError, match=words):
        launch(swarm_launch, swarm=str(path), sim="gazebo", **given)


def test_without_ros_gz_the_remedy_is_named(gazebo_launch, launch, tmp_path, monkeypatch):
    monkeypatch.setenv("ROS_DISTRO", "jazzy")
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    path = write_swarm(tmp_path, [robot()], **WORLD_OF)
    if importlib.util.find_spec("ros_gz_sim"):
        pytest.skip("ros_gz_sim is installed")
    with pytest.raises(KdmarlError, match="needs ros_gz_sim, .*; apt install ros-jazzy-ros-gz, or leave sim out"):
        launch(gazebo_launch, swarm=str(path))
