"""The launch files for Gazebo, on stand-ins of ``launch``, ``launch_ros`` and ``ros_gz``: what is started, and how."""

import importlib.util
import tempfile
from pathlib import Path
from types import SimpleNamespace
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
def launch(gazebo_launch, tmp_path, monkeypatch):
    """What a launch file starts with some arguments, in a domain without a clock."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(gazebo_launch, "clock_publishers", lambda: [])

    def call(module, **given):
        context = module.LaunchContext()
        context.launch_configurations.update(given)
        entities = module.generate_launch_description().entities
        return [action for entity in entities for action in entity.execute(context) or []]

    return call


@pytest.fixture
def ros_gz(gazebo_launch, tmp_path, monkeypatch):
    """A stand-in for the packages of ``ros_gz`` and for Gazebo's command line; has what runs and what was begun."""
    gazebo = SimpleNamespace(running=[], begun=[], waited=[], topics=[])
    monkeypatch.setattr(gazebo_launch, "get_package_share_directory", lambda package: str(tmp_path / package))
    monkeypatch.setattr(gazebo_launch, "tool", lambda release: f"/usr/bin/{release.tool}")
    monkeypatch.setattr(gazebo_launch, "is_running", lambda release, world: world in gazebo.running)
    monkeypatch.setattr(gazebo_launch, "begin", lambda release, world: gazebo.begun.append(world))
    monkeypatch.setattr(gazebo_launch, "wait_for", lambda release, topics: gazebo.waited.append(list(topics)))
    monkeypatch.setattr(gazebo_launch, "missing", lambda release, topics: [t for t in topics if t not in gazebo.topics])
    return gazebo


@pytest.mark.parametrize("count", [1, 6, 32])
def test_gazebo_its_bridge_and_all_robots_are_started(
    swarm_launch, gazebo_launch, launch, ros_gz, tmp_path, monkeypatch, count
):
    monkeypatch.setenv("GZ_SIM_RESOURCE_PATH", "/mine")
    monkeypatch.setenv("GZ_SIM_SYSTEM_PLUGIN_PATH", "/plugins")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/libraries")
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path / "ros"))
    (tmp_path / "ros" / "share" / "a").mkdir(parents=True)
    (tmp_path / "ros" / "share" / "a" / "package.xml").write_text('<gazebo_ros plugin_path="${prefix}/lib"/>')
    places = [(1.0 * (index % 7) - 3, 1.0 * (index // 7) - 3, 0.0) for index in range(count)]
    robots = [robot(f"r{index}", pose=place, goal=place[:2]) for index, place in enumerate(places)]
    path = write_swarm(tmp_path, robots, **WORLD_OF)
    include, *started = launch(swarm_launch, swarm=str(path), sim="gazebo", duration="30", gz_version="harmonic")
    assert Path(include.source.location).name == "gazebo.launch.py"
    nodes = [action for action in started if isinstance(action, swarm_launch.Node)]
    assert [node.name for node in nodes] == ["judge", "gazebo", *(each.name for each in robots)]
    server, bridge, *handlers, first = launch(gazebo_launch, **include.arguments)
    *options, world, _, version = server.cmd
    assert options == ["/usr/bin/gz", "sim", "-s", "-v", "2", "--seed", "0"]
    assert version == "8"
    assert Path(world).name == WORLD
    assert server.options["additional_env"] == {
        "GZ_SIM_RESOURCE_PATH": f"/mine:{tmp_path}/ros/share:{Path(world).parent}",
        "GZ_SIM_SYSTEM_PLUGIN_PATH": f"/plugins:/libraries:{tmp_path}/ros/share/a/lib",
    }
    assert (bridge.package, bridge.cmd[0]) == ("ros_gz_bridge", "parameter_bridge")
    entries = yaml.safe_load(Path(world).with_name(BRIDGE).read_text())
    assert len(entries) == 1 + 3 * count
    steps = in_order(gazebo_launch, first, handlers)
    assert [step.name for step in steps] == [f"create.{each.name}" for each in robots]
    assert (ros_gz.waited, ros_gz.begun) == ([[each.name for each in robots]], ["crossing"])  # after the last
    for step, each in zip(steps, robots, strict=True):
        assert (step.package, step.cmd[0]) == ("ros_gz_sim", "create")
        given = dict(zip(step.cmd[1:-1:2], step.cmd[2:-1:2], strict=True))
        assert (given["-name"], given["-world"]) == (each.name, "crossing")
        assert (float(given["-x"]), float(given["-y"])) == each.pose[:2]
        assert ElementTree.parse(given["-file"]).getroot().find("model").get("name") == each.name


def ended(launch, returncode):
    return launch.ProcessExited(returncode=returncode, action=None, name="", cmd=[], cwd=None, env=None, pid=0)


def in_order(launch, first, handlers):
    """What is started after what, when all ends well."""
    steps, context = [first], launch.LaunchContext()
    for registered in handlers:
        handler = registered.event_handler
        assert handler.target_action is steps[-1]
        steps += handler.handle(ended(launch, 0), context)
    return steps


def refuse(reason):
    raise KdmarlError(reason)


def test_a_robot_that_is_not_put_in_ends_the_launch(gazebo_launch, launch, ros_gz, tmp_path, monkeypatch):
    path = write_swarm(tmp_path, [robot("fleet/a"), robot("b", pose=(2.0, 2.0, 0.0), goal=(-2.0, 0.0))], **WORLD_OF)
    _, _, handler, *_ = launch(gazebo_launch, swarm=str(path), gz_version="harmonic")
    context, said = gazebo_launch.LaunchContext(), []
    context.asyncio_loop = SimpleNamespace(call_exception_handler=said.append)
    (end,) = handler.event_handler.handle(ended(gazebo_launch, 1), context)
    assert isinstance(end, gazebo_launch.Shutdown)
    assert said == [{"message": "robot 'fleet/a' was not put into the world (exit code 1); see what Gazebo says above"}]
    monkeypatch.setattr(gazebo_launch, "begin", lambda release, world: refuse("it did not begin"))
    _, _, _, last, *_ = launch(gazebo_launch, swarm=str(path), gz_version="harmonic")
    (end,) = last.event_handler.handle(ended(gazebo_launch, 0), context)
    assert (end.reason, said[1]) == ("it did not begin", {"message": "it did not begin"})
    context.is_shutdown = True
    assert handler.event_handler.handle(ended(gazebo_launch, -2), context) == []


def test_gazebos_end_is_a_failure(gazebo_launch, launch, ros_gz, tmp_path):
    server, *_ = launch(gazebo_launch, swarm=str(write_swarm(tmp_path, [robot()], **WORLD_OF)), gz_version="harmonic")
    context, said = gazebo_launch.LaunchContext(), []
    context.asyncio_loop = SimpleNamespace(call_exception_handler=said.append)
    (end,) = server.on_exit(ended(gazebo_launch, 255), context)
    assert isinstance(end, gazebo_launch.Shutdown)
    assert said == [{"message": "Gazebo has ended (exit code 255); see what it says above"}]
    context.is_shutdown = True
    assert server.on_exit(ended(gazebo_launch, 0), context) == []


def test_a_world_that_runs_already_and_one_that_does_not_are_refused(gazebo_launch, launch, ros_gz, tmp_path):
    path = write_swarm(tmp_path, [robot()], world={"running": "hall"})
    with pytest.raises(KdmarlError, match="no Gazebo runs a world 'hall'; start it first, with the same GZ_PARTITION"):
        launch(gazebo_launch, swarm=str(path))
    path = write_swarm(tmp_path, [robot()], **WORLD_OF)
    ros_gz.running.append("crossing")
    with pytest.raises(KdmarlError, match="a world 'crossing' runs in Gazebo already, .* set another GZ_PARTITION"):
        launch(gazebo_launch, swarm=str(path))


def test_a_second_clock_is_refused(gazebo_launch, launch, ros_gz, tmp_path, monkeypatch):
    path = write_swarm(tmp_path, [robot()], **WORLD_OF)
    monkeypatch.setattr(gazebo_launch, "clock_publishers", lambda: ["/other/bridge"])
    with pytest.raises(KdmarlError, match="/clock is published by /other/bridge already, .* another ROS_DOMAIN_ID"):
        launch(gazebo_launch, swarm=str(path))


@pytest.mark.parametrize("others", [[], ["/other/bridge"]])
def test_a_gazebo_that_runs_gets_robots_and_keeps_its_clock(
    swarm_launch, gazebo_launch, launch, ros_gz, tmp_path, monkeypatch, others
):
    path = write_swarm(tmp_path, [robot("r")], world={"running": "hall"})
    monkeypatch.setattr(gazebo_launch, "clock_publishers", lambda: others)
    ros_gz.running.append("hall")
    include, *started = launch(swarm_launch, swarm=str(path), sim="gazebo", gz_version="harmonic", duration="5")
    policy = next(each for each in started if getattr(each, "name", "") == "r")
    policy.execute(swarm_launch.LaunchContext())
    bridge, *handlers, first = launch(gazebo_launch, **include.arguments)
    assert [step.name for step in in_order(gazebo_launch, first, handlers)] == ["create.r"]
    assert (ros_gz.waited, ros_gz.begun) == ([["r"]], [])
    ros_gz.topics.append("/r/ground_truth")
    with pytest.raises(KdmarlError, match="Gazebo's world 'hall' has r already, perhaps from an earlier launch"):
        launch(gazebo_launch, **include.arguments)
    assert first.cmd[1:3] == ["-world", "hall"]
    entries = yaml.safe_load(Path(bridge.parameters[0]["config_file"]).read_text())
    assert ("/gazebo/clock" in [entry["ros_topic_name"] for entry in entries]) is not bool(others)
    assert "/clock" not in [entry["ros_topic_name"] for entry in entries]
    given = yaml.safe_load(Path(policy.cmd[-1]).read_text())
    assert given["/r/policy"]["ros__parameters"]["scan_guard"] is True  # in a world that we do not know


def test_with_its_window_and_another_speed(swarm_launch, gazebo_launch, launch, ros_gz, tmp_path):
    path = write_swarm(tmp_path, [robot()], **WORLD_OF)
    include, *_ = launch(
        swarm_launch, swarm=str(path), sim="gazebo", headless="false", real_time_factor="0.5", seed="3",
        gz_version="fortress", lidars="physics",
    )  # fmt: skip
    server, _, *_, first = launch(gazebo_launch, **include.arguments)
    *options, world, _, version = server.cmd
    assert options == ["/usr/bin/ign", "gazebo", "-v", "2"]  # Fortress has no seed
    assert version == "6"
    root = ElementTree.parse(world).getroot()
    assert root.find("world/physics/real_time_factor").text == "0.5"
    model = ElementTree.parse(first.cmd[first.cmd.index("-file") + 1]).getroot()
    assert {each.get("type") for each in model.iter("sensor")} == {"lidar"}


@pytest.mark.parametrize(
    ("given", "changes", "words"),
    [
        ({"lockstep": "true"}, {}, "lockstep needs the built-in simulator, sim is 'gazebo'"),
        ({}, {"world": None}, "has no world to simulate"),
        ({"real_time_factor": "2.0"}, {"world": {"running": "hall"}}, "real_time_factor is 2, and the world of .* has"),
        ({"sim": "mujoco"}, {"world": {"running": "hall"}}, "its world is one of Gazebo, and sim is 'mujoco'; set sim"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_starts(swarm_launch, launch, tmp_path, given, changes, words):
    path = write_swarm(tmp_path, [robot()], **WORLD_OF | changes)
    with pytest.raises(KdmarlError, match=words):
        launch(swarm_launch, swarm=str(path), **{"sim": "gazebo", **given})


def test_without_ros_gz_the_remedy_is_named(gazebo_launch, launch, tmp_path, monkeypatch):
    monkeypatch.setenv("ROS_DISTRO", "jazzy")
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    path = write_swarm(tmp_path, [robot()], **WORLD_OF)
    if importlib.util.find_spec("ros_gz_sim"):
        pytest.skip("ros_gz_sim is installed")
    with pytest.raises(KdmarlError, match="needs ros_gz_sim, .*; apt install ros-jazzy-ros-gz, or leave sim out"):
        launch(gazebo_launch, swarm=str(path))
