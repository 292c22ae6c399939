"""Somebody's own model of a robot: a copy for each robot, with topics and frames of its own."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import Element, SubElement

from kdmarl_core.contract import KdmarlError, Robot, Swarm
from kdmarl_core.contract.node_parameters import TRUTH
from kdmarl_core.contract.robots import Model
from kdmarl_core.errors import did_you_mean
from kdmarl_core.gazebo.elements import text_of
from kdmarl_core.gazebo.robots import true_odometry
from kdmarl_core.gazebo.sdf import expand, parse, read, refuse_network, root_uris
from kdmarl_core.gazebo.topics import localised, topics_of
from kdmarl_core.gazebo.versions import SDF, Lidars, Release

SYSTEMS = {
    "AckermannSteering": {"topic": "cmd_vel", "odom_topic": "odometry", "tf_topic": "tf"},
    "DiffDrive": {"topic": "cmd_vel", "odom_topic": "odometry", "tf_topic": "tf"},
    "JointStatePublisher": {"topic": "joint_state"},
    "MecanumDrive": {"topic": "cmd_vel", "odom_topic": "odometry", "tf_topic": "tf"},
    "OdometryPublisher": {"odom_topic": "odometry", "tf_topic": "pose"},
    "TrackedVehicle": {"topic": "cmd_vel", "odom_topic": "odometry", "tf_topic": "tf"},
    "VelocityControl": {"topic": "cmd_vel"},
}
"""Gazebo's systems of moving robots → their settings with topics → the end of the topic without that setting."""
GAZEBOS = ("gz::sim::systems", "ignition::gazebo::systems")
"""Of names of Gazebo's systems."""
FRAMES = ("frame_id", "child_frame_id", "odom_frame", "robot_base_frame", "gz_frame_id", "ignition_frame_id")
"""Settings of sensors and systems with names of frames."""
CLOUDS = ("gpu_lidar", "lidar", "gpu_ray", "ray", "depth_camera", "rgbd_camera", "depth", "rgbd")
"""Types of sensors with a cloud on ``<topic>/points``."""


class Copy(NamedTuple):
    """A model for one robot."""

    text: str
    kind: str
    """``sdf`` or ``urdf``"""
    topics: dict[str, str | None]
    """our topic → its full name in Gazebo; None where the model is on that topic in ROS 2"""


def model_copy(swarm: Swarm, robot: Robot, release: Release, lidars: Lidars) -> Copy:
    """The robot type's own model, as ``robot`` has it.

    All topics and frames of its sensors and of Gazebo's systems that move robots get the robot's name in front, unless
    they have it; what says where the robot is in the world is added.

    Args:
        swarm: with the model.
        robot: of a type with a model of its own.
        release: of Gazebo.
        lidars: how distances are measured.

    Raises:
        KdmarlError: the file does not fit, or lacks a topic.
    """
    path, settings = swarm.models[robot.type], swarm.robot_type(robot).own_model or Model(file="")
    root = _read(path, settings, robot)
    refuse_network(root, path)
    if root.find(".//include") is not None:
        raise KdmarlError(
            f"{path}: has an <include>, and only what stands in the file itself is given the robot's names; make one "
            f"file of both (gz sdf -p {path.name} > whole.sdf)"
        )
    root_uris(root, path.parent)
    model = _find_model(root, settings, path)
    model.set("name", robot.name)
    where = f"{path}: the model of robot type '{robot.type}'"
    there = _name_topics(model, robot, lidars, where)
    _name_frames(model, swarm.frame_prefix(robot))
    topics = _mapped(swarm, robot, settings, there, where)
    truth = true_odometry(swarm, robot, release)
    if model.tag == "robot":
        SubElement(model, "gazebo").append(truth)
        return Copy(text_of(model), "urdf", topics)
    model.append(truth)
    made = Element("sdf", version=root.get("version", SDF))
    made.append(model)
    return Copy(text_of(made), "sdf", topics)


def _read(path: Path, settings: Model, robot: Robot) -> Element:
    if not path.is_file():
        raise KdmarlError(f"{path}: no such file, and robot type '{robot.type}' has it as its model; check the path")
    if path.suffix != ".xacro":
        if settings.arguments:
            raise KdmarlError(f"{path}: is not a .xacro file, and its model has arguments; take them out")
        return read(path)
    given = {name: value.replace("{robot}", robot.name) for name, value in settings.arguments.items()}
    return parse(expand(path, given), path)


def _find_model(root: Element, settings: Model, path: Path) -> Element:
    if root.tag == "robot":
        if settings.name not in (None, root.get("name")):
            raise KdmarlError(f"{path}: has the model '{root.get('name')}', not '{settings.name}'; correct the name")
        return root
    models = {each.get("name", ""): each for each in [*root.findall("model"), *root.findall("world/model")]}
    if root.tag != "sdf" or not models:
        raise KdmarlError(f"{path}: has no model; give an SDF file with a <model>, or a URDF")
    names = ", ".join(models)
    if settings.name is None and len(models) > 1:
        raise KdmarlError(f"{path}: has the models {names}; say which by the model's name")
    name = settings.name or names
    if name not in models:
        raise KdmarlError(f"{path}: has no model '{name}', only {names}; {did_you_mean(name, models)}")
    return models[name]


def _name_topics(model: Element, robot: Robot, lidars: Lidars, where: str) -> dict[str, str]:
    """Put the robot's name before all topics; returns what the model calls them → their full names."""
    found: dict[str, str] = {}

    def rename(topic: Element) -> None:
        topic.text = robot.full_name(_plain((topic.text or "").strip(), robot))

    def name(parent: Element, tag: str, default: str) -> str:
        given = parent.find(tag)
        if given is None:
            given = SubElement(parent, tag)
        plain = _plain((given.text or default).strip(), robot)
        full = robot.full_name(plain)
        if parent.tag == "sensor" and full in found.values():
            raise KdmarlError(f"{where} has two sensors on the topic '{plain}'; give each a <topic> of its own")
        given.text = found[plain] = full
        return plain

    for sensor in model.iter("sensor"):
        kind = sensor.get("type")
        if lidars is Lidars.PHYSICS and kind in ("gpu_lidar", "gpu_ray"):
            sensor.set("type", "lidar")
        plain = name(sensor, "topic", sensor.get("name", "sensor"))
        if kind in CLOUDS:
            found[f"{plain}/points"] = robot.full_name(f"{plain}/points")
        for tag in ("camera/camera_info_topic", "contact/topic"):
            if (inner := sensor.find(tag)) is not None:
                rename(inner)
    for plugin in model.iter("plugin"):
        space, _, system = plugin.get("name", "").rpartition("::")
        for tag, default in SYSTEMS.get(system, {}).items():
            name(plugin, tag, default)
        if space in GAZEBOS and system not in SYSTEMS:
            for each in plugin.iter():
                if each.tag == "topic" or each.tag.endswith("_topic"):
                    rename(each)
    return found


def _plain(topic: str, robot: Robot) -> str:
    """A topic's name without that of the robot before it."""
    return topic.removeprefix("/").removeprefix(f"{robot.name}/")


def _name_frames(model: Element, prefix: str) -> None:
    for kind in ("sensor", "plugin"):
        for each in model.iter(kind):
            for tag in FRAMES:
                if (frame := each.find(tag)) is not None and frame.text:
                    frame.text = prefix + frame.text.strip().removeprefix(prefix)


def _mapped(swarm: Swarm, robot: Robot, settings: Model, there: dict[str, str], where: str) -> dict[str, str | None]:
    """Our topics → Gazebo's."""
    wanted = {topic.name for topic in topics_of(swarm, robot)}
    for name in settings.topics:
        if name not in wanted - {TRUTH}:
            raise KdmarlError(f"{where}: topics has '{name}'; {did_you_mean(name, wanted - {TRUTH})}")
    found: dict[str, str | None] = {TRUTH: robot.full_name(TRUTH)}
    if not localised(swarm, robot):
        if "odom" in settings.topics:
            raise KdmarlError(
                f"{where}: topics has odom, and odometry that a model measures begins where the robot starts; leave it "
                f"out, then Gazebo says where the robot is, or give pose_source 'pose' or 'tf' with a localisation"
            )
        found["odom"] = found[TRUTH]
    for name in sorted(wanted - found.keys()):
        found[name] = _topic_of(settings.topics.get(name, name), name, robot, there, where)
    return found


def _topic_of(given: str | None, name: str, robot: Robot, there: dict[str, str], where: str) -> str | None:
    if given is None:
        return None
    plain = _plain(given.replace("{robot}", robot.name), robot)
    if plain not in there:
        raise KdmarlError(
            f"{where} has no topic '{plain}' for {name}, only {', '.join(sorted(there)) or 'none'}; map {name} to one "
            "of those (topics in the robot type), or to null if the model itself is on that topic in ROS 2"
        )
    return there[plain]
