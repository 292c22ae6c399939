"""Publishes what robots in Gazebo need and Gazebo does not: ranges of single sensors, neighbours, a localisation.

And ``/clock``, less often than Gazebo's: each of its messages wakes every node of the swarm.

A single range sensor is a small lidar in Gazebo, across the sensor's cone.
"""

from __future__ import annotations

import time
from functools import partial
from typing import NoReturn

import numpy as np
from geometry_msgs.msg import PoseArray, PoseWithCovarianceStamped
from nav_msgs.msg import Odometry
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.publisher import Publisher
from rclpy.subscription import Subscription
from rosgraph_msgs.msg import Clock as ClockMessage
from sensor_msgs.msg import LaserScan, Range

from kdmarl_core.contract import Robot, Swarm
from kdmarl_core.contract.node_parameters import TRUTH
from kdmarl_core.contract.planar import Planar, yaw_of_rotation
from kdmarl_core.gazebo.topics import CLOCK, FULL_CLOCK, localised, range_topics
from kdmarl_ros.node.parameters import planned_swarm, read_names, read_parameter, refuse_unknown
from kdmarl_ros.node.poses import to_pose
from kdmarl_ros.node.process import leave, serve
from kdmarl_ros.node.qos import LATCHED_QOS, SENSOR_QOS
from kdmarl_ros.sim.drifting_odometry import POSE_PERIOD, DriftingOdometry

CLOCK_PERIOD = 20_000_000
"""Least simulated time from one ``/clock`` message to the next [ns]."""
FOLLOW_PERIOD = 0.5
"""From look to look whether somebody wants neighbours [s]."""
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
        seed = read_parameter(self, "seed", 0, "seed of the localisation's noise", (0, 2**31 - 1))
        refuse_unknown(self)
        swarm = planned_swarm(path, names)
        self._true_odometry = {
            robot.name: f"/{robot.name}/{TRUTH if localised(swarm, robot) else 'odom'}" for robot in swarm.robots
        }
        """robot → its true odometry"""
        self._neighbors = {
            name: self.create_publisher(PoseArray, f"/{name}/neighbors", SENSOR_QOS) for name in self._true_odometry
        }
        self._odometry: list[Subscription] = []
        """to those topics while somebody wants neighbours"""
        self._heard: dict[str, tuple[float, Planar]] = {}
        """robot → arrival [s], and where it was"""
        self._clock_publisher: Publisher | None = None
        self._last_time = -CLOCK_PERIOD
        self.create_subscription(ClockMessage, FULL_CLOCK, self._tell_time, SENSOR_QOS)
        for robot in swarm.robots:
            self._serve_ranges(swarm, robot)
        self.create_timer(FOLLOW_PERIOD, self._follow, clock=Clock(clock_type=ClockType.STEADY_TIME))
        for index, robot in enumerate(swarm.robots):
            if swarm.world and swarm.parameters(robot).pose_source == "pose":  # other worlds have their own
                random = np.random.default_rng([seed, index])
                localisation = _Localisation(self, robot.name, swarm.frame, DriftingOdometry(random))
                self.create_subscription(Odometry, f"/{robot.name}/{TRUTH}", localisation.hear, SENSOR_QOS)

    def _tell_time(self, message: ClockMessage) -> None:
        """Publish Gazebo's time, unless it is little later than the last one; where none comes, others publish it."""
        now = message.clock.sec * 1_000_000_000 + message.clock.nanosec
        if 0 <= now - self._last_time < CLOCK_PERIOD:
            return
        self._last_time = now
        if self._clock_publisher is None:
            self._clock_publisher = self.create_publisher(ClockMessage, CLOCK, 10)
        self._clock_publisher.publish(message)

    def _serve_ranges(self, swarm: Swarm, robot: Robot) -> None:
        ring = swarm.robot_type(robot).sensors.range_sensors
        for topic in range_topics(swarm, robot):
            name = f"/{robot.name}/{topic}"
            publisher = self.create_publisher(Range, name, SENSOR_QOS)
            tell = partial(_tell_range, publisher, ring.fov if ring else 0.0)
            self.create_subscription(LaserScan, f"{name}/scan", tell, SENSOR_QOS)

    def _follow(self) -> None:
        """Listen to all odometry while anybody wants neighbours."""
        wanted = any(publisher.get_subscription_count() for publisher in self._neighbors.values())
        if wanted and not self._odometry:
            self._odometry = [
                self.create_subscription(Odometry, topic, partial(self._tell_neighbors, name), SENSOR_QOS)
                for name, topic in self._true_odometry.items()
            ]
        elif self._odometry and not wanted:
            for subscription in self._odometry:
                self.destroy_subscription(subscription)
            self._odometry.clear()
            self._heard.clear()

    def _tell_neighbors(self, name: str, odometry: Odometry) -> None:
        """Where the others are in a robot's frame, by the newest odometry of all; nothing while one is not heard."""
        now, own = time.monotonic(), _place(odometry)
        self._heard[name] = now, own
        fresh = [pose for arrived, pose in self._heard.values() if now - arrived <= TIMEOUT]
        publisher = self._neighbors[name]
        if publisher.get_subscription_count() and len(fresh) == len(self._true_odometry):
            message = PoseArray()
            message.header.stamp, message.header.frame_id = odometry.header.stamp, odometry.child_frame_id
            message.poses = [to_pose(own.inverse @ pose) for other, (_, pose) in self._heard.items() if other != name]
            publisher.publish(message)


class _Localisation:
    """Publishes poses as a localisation does, from where the robot is."""

    def __init__(self, node: Node, robot: str, frame: str, errors: DriftingOdometry) -> None:
        self._errors, self._frame, self._next = errors, frame, 0
        self._publisher = node.create_publisher(PoseWithCovarianceStamped, f"/{robot}/pose", LATCHED_QOS)

    def hear(self, odometry: Odometry) -> None:
        """Take where the robot is."""
        stamp = odometry.header.stamp
        now = stamp.sec * 1_000_000_000 + stamp.nanosec
        if self._next - POSE_PERIOD <= now < self._next:
            return
        self._next = now + POSE_PERIOD
        message = PoseWithCovarianceStamped()
        message.header.stamp, message.header.frame_id = stamp, self._frame
        message.pose.pose = to_pose(self._errors.localise(_place(odometry)))
        self._publisher.publish(message)


def _place(odometry: Odometry) -> Planar:
    at, turn = odometry.pose.pose.position, odometry.pose.pose.orientation
    return Planar(at.x, at.y, yaw_of_rotation(turn.w, turn.x, turn.y, turn.z))


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
