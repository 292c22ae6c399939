"""Gazebo's files say the same as the swarm file: geometry as in MuJoCo, sensors, topics, names."""

import math
import shutil
import subprocess

import mujoco
import numpy as np
import pytest
import yaml
from msgspec.structs import replace

from gazebo_support import write_merged
from kdmarl_core.contract import KdmarlError, load_robot_types, load_swarm
from kdmarl_core.contract.sensors import LidarSensor, PointCloudSensor, Sensors
from kdmarl_core.contract.sensors.base import Mounting
from kdmarl_core.gazebo.files import write
from kdmarl_core.gazebo.topics import bridged
from kdmarl_core.gazebo.versions import RELEASES, Lidars, release_of
from kdmarl_core.mujoco.model import model_spec
from sim_support import make_swarm, robot
from support import REPOSITORY, ROBOT_TYPES

SWARMS = sorted((REPOSITORY / "config/swarms").glob("*.yaml"))
FORTRESS, HARMONIC = RELEASES["fortress"], RELEASES["harmonic"]
CONVERTED = {
    "sensor_msgs/msg/LaserScan": "LaserScan",
    "nav_msgs/msg/Odometry": "Odometry",
    "geometry_msgs/msg/Twist": "Twist",
    "geometry_msgs/msg/TwistStamped": "Twist",
    "rosgraph_msgs/msg/Clock": "Clock",
}
"""ROS type → Gazebo's, as the table of ``ros_gz_bridge`` (``mappings.py``) has them in Humble, Jazzy and later."""


def swarm_of(path):
    """A shipped swarm, by odometry alone."""
    swarm = load_swarm(path)
    return replace(swarm, defaults=replace(swarm.defaults, pose_source="odom"))


def world_of(swarm, folder, release=HARMONIC, lidars=Lidars.RENDERING):
    return write_merged(swarm, folder, release, lidars)[0]


def numbers(text):
    return np.array([float(part) for part in text.split()])


@pytest.mark.skipif(not shutil.which("ign"), reason="no SDF parser: apt install ignition-tools sdformat-sdf")
@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("path", SWARMS, ids=lambda path: path.stem)
def test_a_real_parser_takes_the_world(tmp_path, path, release):
    write_merged(swarm_of(path), tmp_path, RELEASES[release])
    command = ["ign", "sdf", "-k", str(tmp_path / "merged.sdf")]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert checked.stdout.strip() == "Valid.", checked.stdout + checked.stderr


@pytest.mark.parametrize("path", SWARMS, ids=lambda path: path.stem)
def test_geometry_is_that_of_mujoco(tmp_path, path):
    """Walls, pillars and chassis: place, turn and size within a millimetre and a milliradian."""
    swarm = swarm_of(path)
    model = model_spec(swarm).compile()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    world = world_of(swarm, tmp_path)
    solids = {each.get("name"): each for each in world.findall("model")}
    for index in range(model.ngeom):
        name = model.geom(index).name
        kind, size = model.geom(index).type[0], model.geom(index).size
        if name.startswith(("wall:", "pillar:")):
            there = solids.pop(name)
            shape, offset = there.find("link/collision/geometry/*"), np.zeros(6)
        elif name and ":" not in name:
            there = solids.pop(name)
            collision = there.find("link[@name='base_link']/collision[@name='chassis_collision']")
            shape, offset = collision.find("geometry/*"), numbers(collision.find("pose").text)
        else:
            continue
        x, y, z, _, _, yaw = numbers(there.find("pose").text)
        np.testing.assert_allclose((x, y, z + offset[2]), data.geom_xpos[index], atol=1e-3, err_msg=name)
        turn = data.geom_xmat[index].reshape(3, 3)
        if kind == mujoco.mjtGeom.mjGEOM_BOX:
            np.testing.assert_allclose((math.cos(yaw), math.sin(yaw)), turn[:2, 0], atol=1e-3, err_msg=name)
            np.testing.assert_allclose(numbers(shape.find("size").text) / 2, size, atol=1e-3)
        else:
            radius, length = float(shape.find("radius").text), float(shape.find("length").text)
            np.testing.assert_allclose((radius, length / 2), size[:2], atol=1e-3, err_msg=name)
    assert set(solids) == {"arena:floor"}


@pytest.mark.parametrize("path", SWARMS, ids=lambda path: path.stem)
def test_both_sides_of_each_bridge_are_there(tmp_path, path):
    """What the world publishes and hears is what is carried, and what policies need."""
    swarm = swarm_of(path)
    world, files = write_merged(swarm, tmp_path, FORTRESS)
    entries = yaml.safe_load(files.bridge.read_text())
    spoken = {each.text for each in world.iter("topic")} | {each.text for each in world.iter("odom_topic")}
    assert {entry["gz_topic_name"] for entry in entries} == spoken | {"/clock"}
    assert len({entry["ros_topic_name"] for entry in entries}) == len(entries)
    for entry in entries:
        assert entry["gz_type_name"] == f"ignition.msgs.{CONVERTED[entry['ros_type_name']]}"
        assert entry["direction"] == ("ROS_TO_GZ" if entry["gz_topic_name"].endswith("/cmd_vel") else "GZ_TO_ROS")
    assert [entry["gz_topic_name"] for entry in entries].count("/clock") == 1
    assert not [topic for topic in (entry["ros_topic_name"] for entry in entries) if topic.endswith("tf")]


def test_lidars_are_mounted_turned_and_limited_as_the_robot_type_says(tmp_path):
    types = load_robot_types(ROBOT_TYPES)
    lidar = LidarSensor(
        beams=90, range=6.0, fov=math.pi, noise=0.02, rate=7.5, min_range=0.1,
        mounting=Mounting(x=0.05, y=-0.02, yaw=1.5, upside_down=True),
    )  # fmt: skip
    scout = replace(
        types["scout"], sensors=Sensors(lidar=lidar, more_lidars={"rear": replace(lidar, mounting=Mounting())})
    )
    swarm = replace(make_swarm([robot()]), robot_types=types | {"scout": scout})
    sensors = {each.get("name"): each for each in world_of(swarm, tmp_path).iter("sensor")}
    assert sorted(sensors) == ["scan", "scan_rear"]
    made = sensors["scan"]
    np.testing.assert_allclose(numbers(made.find("pose").text), (0.05, -0.02, 0.12, math.pi, 0, 1.5), atol=1e-6)
    assert float(made.find("update_rate").text) == 7.5
    assert made.find("gz_frame_id").text == "scout_1/base_scan"
    assert sensors["scan_rear"].find("gz_frame_id").text == "scout_1/base_scan_rear"
    horizontal = made.find("lidar/scan/horizontal")
    angles = np.linspace(float(horizontal.find("min_angle").text), float(horizontal.find("max_angle").text), 90)
    np.testing.assert_allclose(angles, lidar.own_angles, atol=1e-6)
    assert [float(made.find(f"lidar/range/{name}").text) for name in ("min", "max")] == [0.1, 6.0]
    assert float(made.find("lidar/noise/stddev").text) == 0.02
    by_physics = {each.get("name"): each for each in world_of(swarm, tmp_path, lidars=Lidars.PHYSICS).iter("sensor")}
    assert {each.get("type") for each in by_physics.values()} == {"lidar"}


def test_drives_have_the_limits_of_the_robot_type(tmp_path):
    (drive,) = [
        each
        for each in world_of(make_swarm([robot()]), tmp_path, FORTRESS).iter("plugin")
        if "diff-drive" in each.get("filename")
    ]
    assert drive.attrib == {
        "filename": "ignition-gazebo-diff-drive-system",
        "name": "ignition::gazebo::systems::DiffDrive",
    }
    found = {each.tag: float(each.text) for each in drive if each.text[0] in "-.0123456789"}
    assert found == {
        "wheel_separation": 0.27, "wheel_radius": 0.054,
        "min_linear_velocity": -0.3, "max_linear_velocity": 0.8,
        "min_angular_velocity": -2.0, "max_angular_velocity": 2.0,
        "min_linear_acceleration": -1.5, "max_linear_acceleration": 1.5,
        "min_angular_acceleration": -6.0, "max_angular_acceleration": 6.0,
    }  # fmt: skip


@pytest.mark.parametrize("count", [1, 6, 32])
def test_names_of_many_robots_are_as_given(tmp_path, count):
    places = [(1.0 * (index % 7) - 3, 1.0 * (index // 7) - 3, 0.0) for index in range(count)]
    swarm = make_swarm([robot(f"fleet/r{index}", pose=place) for index, place in enumerate(places)])
    world = world_of(swarm, tmp_path)
    names = [each.get("name") for each in world.findall("model")]
    assert len(set(names)) == len(names)
    assert names[-count:] == [f"fleet/r{index}" for index in range(count)]
    assert len({topic.ros for topic in bridged(swarm, {})}) == 1 + 3 * count


def test_topics_of_ros_have_the_names_of_the_swarm_file():
    swarm = make_swarm([robot()])
    swarm = replace(
        swarm, defaults=replace(swarm.defaults, remappings={"odom": "odometry/filtered"}, stamped_commands=True)
    )
    by_gazebo = {topic.gazebo: topic for topic in bridged(swarm, {})}
    assert by_gazebo["/scout_1/ground_truth"].ros == "/scout_1/odometry/filtered"
    assert by_gazebo["/scout_1/cmd_vel"].ros_type == "geometry_msgs/msg/TwistStamped"


@pytest.mark.parametrize(
    ("distribution", "release"),
    [("humble", "fortress"), ("jazzy", "harmonic"), ("kilted", "ionic"), ("lyrical", "jetty"), (None, "jetty")],
)
def test_the_release_is_that_of_the_distribution(distribution, release):
    assert release_of(distribution) == release


def test_what_gazebo_cannot_have_is_refused(tmp_path):
    swarm = make_swarm([robot()])
    with pytest.raises(KdmarlError, match="has no 'world', so there is nothing to simulate"):
        world_of(replace(swarm, world=None), tmp_path)
    camera = PointCloudSensor(columns=8, range=3.0, fov=1.5, heights=(-0.1, 0.5))
    scout = replace(swarm.robot_types["scout"], sensors=Sensors(point_cloud=camera))
    with pytest.raises(KdmarlError, match="scout: generated Gazebo worlds have .* no point clouds"):
        world_of(replace(swarm, robot_types={"scout": scout}), tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(KdmarlError, match="cannot be written: .*; choose another folder"):
        write(swarm, tmp_path / "file", HARMONIC, Lidars.RENDERING)


@pytest.mark.parametrize("kind", ["scout", "omni"])
def test_with_a_localisation_odometry_is_the_wheels_and_the_truth_has_its_topic(tmp_path, kind):
    swarm = make_swarm([robot(kind=kind)])
    swarm = replace(swarm, defaults=replace(swarm.defaults, pose_source="pose"))
    world, files = write_merged(swarm, tmp_path, HARMONIC)
    frames = {
        plugin.findtext("odom_topic"): plugin.findtext("odom_frame") or plugin.findtext("frame_id")
        for plugin in world.iter("plugin")
        if plugin.find("odom_topic") is not None
    }
    assert frames == {"/scout_1/odom": "scout_1/odom", "/scout_1/ground_truth": "map"}
    entries = yaml.safe_load(files.bridge.read_text())
    assert {"/scout_1/odom", "/scout_1/ground_truth"} < {entry["ros_topic_name"] for entry in entries}
    by_tf = replace(swarm, defaults=replace(swarm.defaults, pose_source="tf"))
    with pytest.raises(KdmarlError, match="'scout_1': pose_source is 'tf', and nothing publishes tf in generated"):
        write(by_tf, tmp_path, HARMONIC, Lidars.RENDERING)
