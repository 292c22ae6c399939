"""Publishes what the nodes of robots in Gazebo need and Gazebo does not: ranges of single sensors, and neighbours.

A single range sensor is a small lidar in Gazebo, across the sensor's cone.
"""

from __future__ import annotations

import time
from functools import partial
from typing import NoReturn

import numpy as np
from geometry_msgs.msg import PoseArray
from nav_msgs.msg import Odometry
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.publisher import Publisher
from sensor_msgs.msg import LaserScan, Range

from kdmarl_core.contract import Robot, Swarm
from kdmarl_core.contract.planar import Planar, yaw_of_rotation
from kdmarl_core.gazebo.topics import range_topics
from kdmarl_ros.node.parameters import planned_swarm, read_names, read_parameter, refuse_unknown
from kdmarl_ros.node.poses import to_pose
from kdmarl_ros.node.process import leave, serve
from kdmarl_ros.node.qos import SENSOR_QOS

TIMEOUT = 1.0
"""Age of odometry after which nobody knows where the others are [s]."""


class GazeboNode(Node):
    """Makes messages for all robots of a swarm; of neighbours only where somebody subscribes."""

    def __init__(self) -> None:
        """Read the parameters and subscribe.

        Raises:
            KdmarlError: a parameter or the swarm file does not fit.
        """
        super().__init__("gazebo")
        path = read_parameter(self, "swarm", Parameter.Type.STRING, "swarm file (YAML)")
        names = read_names(self, "robots", "names of the robots; empty for all")
        refuse_unknown(self)
        swarm = planned_swarm(path, names)
        self._robots = [robot.name for robot in swarm.robots]
        self._heard: dict[str, tuple[float, Planar]] = {}
        """robot → arrival [s], and where it was"""
        for robot in swarm.robots:
            self._serve_ranges(swarm, robot)
            neighbors = self.create_publisher(PoseArray, f"/{robot.name}/neighbors", SENSOR_QOS)
            self.create_subscription(
                Odometry, f"/{robot.name}/odom", partial(self._tell_neighbors, robot.name, neighbors), SENSOR_QOS
            )

    def _serve_ranges(self, swarm: Swarm, robot: Robot) -> None:
        ring = swarm.robot_type(robot).sensors.range_sensors
        for topic in range_topics(swarm, robot):
            name = f"/{robot.name}/{topic}"
            publisher = self.create_publisher(Range, name, SENSOR_QOS)
            tell = partial(_tell_range, publisher, ring.fov if ring else 0.0)
            self.create_subscription(LaserScan, f"{name}/scan", tell, SENSOR_QOS)

    def _tell_neighbors(self, name: str, publisher: Publisher, odometry: Odometry) -> None:
        """Where the others are in a robot's frame, by the newest odometry of all; nothing while one is not heard."""
        now, at, turn = time.monotonic(), odometry.pose.pose.position, odometry.pose.pose.orientation
        own = Planar(at.x, at.y, yaw_of_rotation(turn.w, turn.x, turn.y, turn.z))
        self._heard[name] = now, own
        fresh = [pose for arrived, pose in self._heard.values() if now - arrived <= TIMEOUT]
        if publisher.get_subscription_count() and len(fresh) == len(self._robots):
            message = PoseArray()
            message.header.stamp, message.header.frame_id = odometry.header.stamp, odometry.child_frame_id
            message.poses = [to_pose(own.inverse @ pose) for other, (_, pose) in self._heard.items() if other != name]
            publisher.publish(message)


def _tell_range(publisher: Publisher, fov: float, scan: LaserScan) -> None:
    message = Range(radiation_type=Range.INFRARED, field_of_view=fov)
    message.header, message.min_range, message.max_range = scan.header, scan.range_min, scan.range_max
    message.range = nearest(scan)
    publisher.publish(message)


def nearest(scan: LaserScan) -> float:
    """The nearest distance of a scan [m]: inf where nothing is seen, -inf where it is too near to be measured."""
    ranges = np.frombuffer(scan.ranges, np.float32)
    seen = ranges[~np.isnan(ranges)]
    return float(seen.min()) if seen.size else float("nan")


def main(args: list[str] | None = None) -> int:
    """See :func:`~kdmarl_ros.node.process.serve`."""
    return serve(GazeboNode, args)


def command() -> NoReturn:
    """The console script: :func:`main`, then the end of the process."""
    leave(main())


if __name__ == "__main__":
    command()
