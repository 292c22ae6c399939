"""Topics of a swarm in Gazebo, and the file by which ``ros_gz_bridge`` carries them to ROS 2."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import yaml

from kdmarl_core.contract import Robot, Swarm
from kdmarl_core.contract.node_parameters import TRUTH
from kdmarl_core.contract.sensors import ending_of, kind_of
from kdmarl_core.gazebo.versions import Release

TO_ROS, TO_GAZEBO = "GZ_TO_ROS", "ROS_TO_GZ"


class Topic(NamedTuple):
    """One topic of a robot."""

    name: str
    """what a robot type's model calls it"""
    ros: str
    """its name in ROS 2, in the robot's namespace, unless it is remapped"""
    gazebo: str
    """its name in Gazebo, in the robot's namespace, unless the model is somebody's own"""
    ros_type: str
    message: str
    """its type in Gazebo, without what the name of a message begins with"""
    direction: str = TO_ROS


class Bridged(NamedTuple):
    """One topic on both sides, with full names."""

    ros: str
    gazebo: str
    ros_type: str
    message: str
    direction: str


CLOCK = "/clock"
FULL_CLOCK = "/gazebo/clock"
"""Gazebo's clock with every step of its physics, where ``gazebo_node`` makes ``/clock`` of it."""
ODOMETRY, SCAN = ("nav_msgs/msg/Odometry", "Odometry"), ("sensor_msgs/msg/LaserScan", "LaserScan")
CLOUD = ("sensor_msgs/msg/PointCloud2", "PointCloudPacked")


def localised(swarm: Swarm, robot: Robot) -> bool:
    """Whether a localisation tells a robot where it is; else its odometry is where it is."""
    return swarm.parameters(robot).pose_source != "odom"


def scan_topics(swarm: Swarm, robot: Robot) -> dict[str, str]:
    """Name of a sensor → its topic in the robot's namespace, of those that Gazebo measures by one lidar."""
    carried = swarm.robot_type(robot).sensors.carried
    return {name: sensor.topics[0] + ending_of(name) for name, sensor in carried.items() if kind_of(name) == "lidar"}


def range_topics(swarm: Swarm, robot: Robot) -> tuple[str, ...]:
    """Topics of single range sensors; each is a small lidar in Gazebo, whose scans are on ``<topic>/scan``."""
    ring = swarm.robot_type(robot).sensors.range_sensors
    return ring.topics[: len(ring.bearings)] if ring else ()


def topics_of(swarm: Swarm, robot: Robot) -> list[Topic]:
    """What is carried of a robot."""
    given, sensors = swarm.parameters(robot), swarm.robot_type(robot).sensors
    stamped = "TwistStamped" if given.stamped_commands is True else "Twist"
    clouds = sensors.of_kind("point_cloud").values()
    found = [
        Topic("odom", "odom", "odom" if localised(swarm, robot) else TRUTH, *ODOMETRY),
        *(Topic(name, name, name, *SCAN) for name in scan_topics(swarm, robot).values()),
        *(Topic(name, f"{name}/scan", f"{name}/scan", *SCAN) for name in range_topics(swarm, robot)),
        *(Topic(name, name, name, *CLOUD) for cloud in clouds for name in cloud.topics),
        Topic("cmd_vel", "cmd_vel", "cmd_vel", f"geometry_msgs/msg/{stamped}", "Twist", TO_GAZEBO),
    ]
    return [*found, Topic(TRUTH, TRUTH, TRUTH, *ODOMETRY)] if localised(swarm, robot) else found


def bridged(swarm: Swarm, models: dict[str, dict[str, str | None]], clock: str | None = CLOCK) -> list[Bridged]:
    """All topics of a swarm: the clock once, then each robot's.

    Args:
        swarm: whose.
        models: robot with a model of its own → our topic → Gazebo's, None for those that are not carried.
        clock: topic in ROS 2 of Gazebo's clock; None where it is not carried.
    """
    found = [Bridged(clock, "/clock", "rosgraph_msgs/msg/Clock", "Clock", TO_ROS)] if clock else []
    for robot in swarm.robots:
        remappings = swarm.parameters(robot).remappings
        for topic in topics_of(swarm, robot):
            gazebo = models[robot.name][topic.name] if robot.name in models else robot.full_name(topic.gazebo)
            if gazebo is not None:
                ros = robot.full_name(remappings.get(topic.ros, topic.ros))
                found.append(Bridged(ros, gazebo, topic.ros_type, topic.message, topic.direction))
    return found


def bridge_file(topics: Iterable[Bridged], release: Release) -> str:
    """The file that ``ros_gz_bridge`` takes as its parameter ``config_file``, in YAML."""
    entries = [
        {
            "ros_topic_name": topic.ros,
            "gz_topic_name": topic.gazebo,
            "ros_type_name": topic.ros_type,
            "gz_type_name": release.message(topic.message),
            "direction": topic.direction,
            "lazy": False,  # robots wait for all of them
        }
        for topic in topics
    ]
    return yaml.safe_dump(entries, sort_keys=False)
