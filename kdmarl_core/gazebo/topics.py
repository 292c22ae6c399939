"""Topics of a swarm in Gazebo, and the file by which ``ros_gz_bridge`` carries them to ROS 2."""

from __future__ import annotations

from typing import NamedTuple

import yaml

from kdmarl_core.contract import Robot, Swarm
from kdmarl_core.contract.sensors import ending_of, kind_of
from kdmarl_core.gazebo.versions import Release

TO_ROS, TO_GAZEBO = "GZ_TO_ROS", "ROS_TO_GZ"


class Bridged(NamedTuple):
    """One topic on both sides, under one name."""

    ros: str
    """its name in ROS"""
    gazebo: str
    """its name in Gazebo"""
    ros_type: str
    message: str
    """its type in Gazebo, without what the name of a message begins with"""
    direction: str


CLOCK = Bridged("/clock", "/clock", "rosgraph_msgs/msg/Clock", "Clock", TO_ROS)


def lidar_topics(swarm: Swarm, robot: Robot) -> dict[str, str]:
    """Name of a sensor → its topic in the robot's namespace, of those that Gazebo measures by one lidar."""
    carried = swarm.robot_type(robot).sensors.carried
    return {name: f"scan{ending_of(name)}" for name in carried if kind_of(name) == "lidar"}


def range_topics(swarm: Swarm, robot: Robot) -> list[str]:
    """Topics of single range sensors; each is a small lidar in Gazebo, whose scans are on ``<topic>/scan``."""
    ring = swarm.robot_type(robot).sensors.range_sensors
    return [f"range_{index}" for index in range(len(ring.bearings))] if ring else []


def bridged(swarm: Swarm) -> list[Bridged]:
    """All topics of a swarm: the clock once, then each robot's."""
    found = [CLOCK]
    for robot in swarm.robots:
        given = swarm.parameters(robot)
        stamped = "TwistStamped" if given.stamped_commands is True else "Twist"
        scans = [*lidar_topics(swarm, robot).values(), *(f"{topic}/scan" for topic in range_topics(swarm, robot))]
        wanted = [
            ("odom", "nav_msgs/msg/Odometry", "Odometry", TO_ROS),
            *((topic, "sensor_msgs/msg/LaserScan", "LaserScan", TO_ROS) for topic in scans),
            ("cmd_vel", f"geometry_msgs/msg/{stamped}", "Twist", TO_GAZEBO),
        ]
        for topic, ros_type, message, direction in wanted:
            name = robot.full_name(given.remappings.get(topic, topic))
            found.append(Bridged(name, robot.full_name(topic), ros_type, message, direction))
    return found


def bridge_file(swarm: Swarm, release: Release) -> str:
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
        for topic in bridged(swarm)
    ]
    return yaml.safe_dump(entries, sort_keys=False)
