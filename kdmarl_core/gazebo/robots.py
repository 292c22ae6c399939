"""A robot of a swarm file as an SDF model."""

from __future__ import annotations

import math
from xml.etree.ElementTree import Element, SubElement

from kdmarl_core.contract import DiffDrive, KdmarlError, Robot, RobotType, Swarm
from kdmarl_core.contract.kinematics import Holonomic
from kdmarl_core.contract.node_parameters import TRUTH
from kdmarl_core.contract.sensors import LidarSensor, ending_of
from kdmarl_core.contract.sensors.base import MESSAGE_RATE
from kdmarl_core.contract.sensors.range_sensors import RAYS_IN_A_CONE
from kdmarl_core.contract.solids import WHEEL_SHARE, Body, body_of, scan_height
from kdmarl_core.gazebo.elements import CHASSIS, FLOOR, ball, cylinder, element, inertia, place, solid
from kdmarl_core.gazebo.topics import localised, range_topics, scan_topics
from kdmarl_core.gazebo.versions import Lidars, Release

WHEEL_BELOW = 0.45
"""Largest radius of a wheel over the height of the scan plane: lidars by physics would see the robot's own wheels."""
STRENGTH = 1e16
"""Limit of a wheel's joint, which is never reached [rad]."""


def robot_model(swarm: Swarm, robot: Robot, release: Release, lidars: Lidars) -> Element:
    """The model of one robot: chassis, wheels or balls, sensors, drive and odometry.

    Args:
        swarm: with its type.
        robot: that it is of.
        release: of Gazebo.
        lidars: how distances are measured.

    Raises:
        KdmarlError: Gazebo has no sensor or drive such as the robot type's.
    """
    robot_type = swarm.robot_type(robot)
    body = body_of(robot_type)
    model = Element("model", name=robot.name)
    link = SubElement(model, "link", name="base_link")
    _add_chassis(link, robot_type, body)
    _add_sensors(swarm, robot, link, release, lidars)
    match robot_type.action:
        case DiffDrive():
            body = body._replace(wheel=min(body.wheel, WHEEL_BELOW * scan_height(swarm)))
            _add_wheels(model, body)
            drive = _wheel_drive(robot_type.action, body, release)
            if localised(swarm, robot):
                _add_wheel_odometry(swarm, robot, drive)
        case Holonomic():
            drive = Element("plugin", release.system("velocity-control"))
            if localised(swarm, robot):  # has no odometry of its own
                model.append(_odometry(swarm, robot, release, "odom", f"{swarm.frame_prefix(robot)}odom"))
        case _:
            raise KdmarlError(
                f"{swarm.robot_types_file}: {robot.type}: Gazebo worlds are made for diff_drive and holonomic robots; "
                "simulate this one in MuJoCo, or give it a model of your own"
            )
    element(drive, "topic", f"/{robot.name}/cmd_vel")
    model.append(drive)
    model.append(true_odometry(swarm, robot, release))
    return model


def _add_chassis(link: Element, robot_type: RobotType, body: Body) -> None:
    wheels = 2 * WHEEL_SHARE if isinstance(robot_type.action, DiffDrive) else 0.0
    middle = (body.bottom + body.top) / 2
    mass = (1 - wheels) * body.mass
    height = body.top - body.bottom
    upright = mass * (3 * body.radius**2 + height**2) / 12
    inertia(link, mass, (upright, upright, mass * body.radius**2 / 2), middle)
    for kind in ("collision", "visual"):
        solid(link, kind, "chassis", place(z=middle), cylinder(body.radius, height), CHASSIS)
    for index, (x, y) in enumerate(body.casters):
        solid(link, "collision", f"caster_{index}", place(x, y, body.caster), ball(body.caster), FLOOR, friction=0.0)


def _add_wheels(model: Element, body: Body) -> None:
    """Balls for collisions: cylinders turn too far."""
    for side, sign in (("left", 1), ("right", -1)):
        link = SubElement(model, "link", name=f"{side}_wheel")
        element(link, "pose", place(0, sign * body.half_track, body.wheel, roll=-math.pi / 2))
        mass = WHEEL_SHARE * body.mass
        moment = 2 * mass * body.wheel**2 / 5
        inertia(link, mass, (moment, moment, moment))
        solid(link, "collision", "wheel", None, ball(body.wheel), FLOOR, friction=1.0)
        joint = SubElement(model, "joint", name=f"{side}_joint", type="revolute")
        element(joint, "parent", "base_link")
        element(joint, "child", f"{side}_wheel")
        axis = SubElement(joint, "axis")
        element(axis, "xyz", "0 0 1")
        limit = SubElement(axis, "limit")
        element(limit, "lower", -STRENGTH)
        element(limit, "upper", STRENGTH)


def _wheel_drive(action: DiffDrive, body: Body, release: Release) -> Element:
    drive = Element("plugin", release.system("diff-drive"))
    settings: dict[str, str | float] = {
        "left_joint": "left_joint",
        "right_joint": "right_joint",
        "wheel_separation": 2 * body.half_track,
        "wheel_radius": body.wheel,
        "min_linear_velocity": action.linear[0],
        "max_linear_velocity": action.linear[1],
        "min_angular_velocity": action.angular[0],
        "max_angular_velocity": action.angular[1],
        "min_linear_acceleration": -action.linear_acceleration,
        "max_linear_acceleration": action.linear_acceleration,
        "min_angular_acceleration": -action.angular_acceleration,
        "max_angular_acceleration": action.angular_acceleration,
    }
    for name, value in settings.items():
        element(drive, name, value)
    return drive


def _add_wheel_odometry(swarm: Swarm, robot: Robot, drive: Element) -> None:
    """What the wheels measure, from where the robot started."""
    element(drive, "odom_topic", f"/{robot.name}/odom")
    element(drive, "tf_topic", f"/{robot.name}/odom_tf")
    element(drive, "frame_id", f"{swarm.frame_prefix(robot)}odom")
    element(drive, "child_frame_id", f"{swarm.frame_prefix(robot)}base_link")
    element(drive, "odom_publish_frequency", MESSAGE_RATE)


def true_odometry(swarm: Swarm, robot: Robot, release: Release) -> Element:
    """The system that says where a robot is, in the frame of the swarm."""
    return _odometry(swarm, robot, release, TRUTH, swarm.frame)


def _odometry(swarm: Swarm, robot: Robot, release: Release, topic: str, frame: str) -> Element:
    """Where a robot is in the world, said in ``frame``; nothing goes into tf."""
    plugin = Element("plugin", release.system("odometry-publisher"))
    element(plugin, "odom_frame", frame)
    element(plugin, "robot_base_frame", f"{swarm.frame_prefix(robot)}base_link")
    element(plugin, "odom_topic", f"/{robot.name}/{topic}")
    element(plugin, "tf_topic", f"/{robot.name}/{topic}_tf")
    element(plugin, "odom_publish_frequency", MESSAGE_RATE)
    element(plugin, "dimensions", 2)
    return plugin


def _add_sensors(swarm: Swarm, robot: Robot, link: Element, release: Release, lidars: Lidars) -> None:
    robot_type, height = swarm.robot_type(robot), scan_height(swarm)
    sensors = robot_type.sensors
    if "point_cloud" in sensors.carried:
        raise KdmarlError(
            f"{swarm.robot_types_file}: {robot.type}: generated Gazebo worlds have lidars and range sensors, no point "
            "clouds; simulate this robot in MuJoCo, or give it a model of your own"
        )
    for name, topic in scan_topics(swarm, robot).items():
        sensor: LidarSensor = sensors.carried[name]
        seat = sensor.place
        made = _lidar(link, topic, f"/{robot.name}/{topic}", sensor.message_rate, lidars)
        element(made, "pose", place(seat.x, seat.y, height, roll=math.pi if seat.upside_down else 0.0, yaw=seat.yaw))
        element(made, f"{release.tag}_frame_id", f"{swarm.frame_prefix(robot)}base_scan{ending_of(name)}")
        last = sensor.angle_min + sensor.fov * (sensor.beams - 1) / sensor.beams
        _rays(made, sensor.beams, sensor.angle_min, last, sensor.min_range, sensor.range, sensor.noise)
    ring = sensors.range_sensors
    if ring is None:
        return
    looks = zip(range_topics(swarm, robot), ring.places.tolist(), ring.directions.tolist(), strict=True)
    for topic, (x, y), yaw in looks:
        made = _lidar(link, topic, f"/{robot.name}/{topic}/scan", ring.message_rate, lidars)
        element(made, "pose", place(x, y, height, yaw=yaw))
        element(made, f"{release.tag}_frame_id", f"{swarm.frame_prefix(robot)}{topic}")
        _rays(made, RAYS_IN_A_CONE, -ring.fov / 2, ring.fov / 2, ring.min_range, ring.range, ring.noise)


def _lidar(link: Element, name: str, topic: str, rate: float, lidars: Lidars) -> Element:
    kind = "gpu_lidar" if lidars is Lidars.RENDERING else "lidar"
    sensor = SubElement(link, "sensor", name=name, type=kind)
    element(sensor, "topic", topic)
    element(sensor, "update_rate", rate)
    element(sensor, "always_on", 1)
    return sensor


def _rays(sensor: Element, beams: int, first: float, last: float, least: float, most: float, noise: float) -> None:
    lidar = SubElement(sensor, "lidar")
    horizontal = SubElement(SubElement(lidar, "scan"), "horizontal")
    for name, value in {"samples": beams, "resolution": 1, "min_angle": first, "max_angle": last}.items():
        element(horizontal, name, value)
    reach = SubElement(lidar, "range")
    for name, value in {"min": least, "max": most, "resolution": 0.001}.items():
        element(reach, name, value)
    if noise:
        spread = SubElement(lidar, "noise")
        element(spread, "type", "gaussian")
        element(spread, "mean", 0.0)
        element(spread, "stddev", noise)
