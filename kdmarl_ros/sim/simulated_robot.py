"""The topics of one simulated robot: sensors out, commands in."""

from __future__ import annotations

import array
import math
from collections.abc import Callable

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Pose, PoseArray, Quaternion, Twist, TwistStamped
from nav_msgs.msg import Odometry
from rclpy.node import Node
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import LaserScan, Range

from kdmarl_core.contract import Robot, RobotType
from kdmarl_core.mujoco.world import MujocoWorld

CommandCallback = Callable[[str, float, float], None]


class SimulatedRobot:
    """Publishes a robot's sensors and hands its commands to a callback.

    Messages are kept and filled anew each time: making them is what costs most.
    """

    def __init__(
        self,
        node: Node,
        robot: Robot,
        robot_type: RobotType,
        frame: str,
        stamped: bool,
        period: float,
        on_command: CommandCallback,
    ) -> None:
        """Make the topics.

        Args:
            node: that they belong to.
            robot: whose name is their namespace.
            robot_type: with the sensors.
            frame: of its odometry.
            stamped: whether commands come as TwistStamped.
            period: between two scans [s].
            on_command: called with the robot's name, forward speed [m/s] and yaw rate [rad/s].
        """
        self.name = robot.name
        self._odometry = Odometry()
        self._odometry.header.frame_id = frame
        self._odometry.child_frame_id = f"{robot.name}/base_link"
        self._odometry_publisher = self._publisher(node, Odometry, "odom")
        self._scan = _scan_message(robot.name, robot_type, period)
        if self._scan is not None:
            self._scan_publisher = self._publisher(node, LaserScan, "scan")
        self._ranges = _range_messages(robot.name, robot_type)
        self._range_publishers = [self._publisher(node, Range, f"range_{index}") for index in range(len(self._ranges))]
        self._neighbors = PoseArray()
        self._neighbors.header.frame_id = self._odometry.child_frame_id
        self._neighbors_publisher = self._publisher(node, PoseArray, "neighbors")

        def hand_over(message: Twist | TwistStamped) -> None:
            twist = message.twist if stamped else message
            on_command(robot.name, twist.linear.x, twist.angular.z)

        node.create_subscription(
            TwistStamped if stamped else Twist, f"{robot.name}/cmd_vel", hand_over, QoSProfile(depth=1)
        )

    def _publisher(self, node: Node, kind: type, topic: str):  # type: ignore[no-untyped-def]
        return node.create_publisher(kind, f"{self.name}/{topic}", qos_profile_sensor_data)

    def publish(self, world: MujocoWorld, stamp: Time) -> None:
        """Publish what every sensor reads in ``world`` now."""
        # Scan and ranges last: a controller that acts on them has the rest.
        self._fill_odometry(world, stamp)
        self._odometry_publisher.publish(self._odometry)
        if self._neighbors_publisher.get_subscription_count():  # few policies look at the others
            self._neighbors.header.stamp = stamp
            self._neighbors.poses = [_pose(*place) for place in world.neighbors(self.name)]
            self._neighbors_publisher.publish(self._neighbors)
        ranges = world.ranges(self.name)
        for index, message in enumerate(self._ranges):
            message.header.stamp = stamp
            message.range = float(ranges[index])  # type: ignore[index]
            self._range_publishers[index].publish(message)
        scan = world.scan(self.name)
        if self._scan is not None and scan is not None:
            self._scan.header.stamp = stamp
            self._scan.ranges = _float_array(scan)
            self._scan_publisher.publish(self._scan)

    def _fill_odometry(self, world: MujocoWorld, stamp: Time) -> None:
        at, message = world.odometry(self.name), self._odometry
        message.header.stamp = stamp
        pose, twist = message.pose.pose, message.twist.twist
        pose.position.x, pose.position.y = at.x, at.y
        pose.orientation.z, pose.orientation.w = math.sin(at.yaw / 2), math.cos(at.yaw / 2)
        twist.linear.x, twist.linear.y, twist.angular.z = at.forward, at.lateral, at.yaw_rate


def _pose(x: float, y: float, yaw: float) -> Pose:
    return Pose(position=Point(x=x, y=y), orientation=Quaternion(z=math.sin(yaw / 2), w=math.cos(yaw / 2)))


def _float_array(values: np.ndarray) -> array.array[float]:
    """As the message keeps it; it would check a numpy array value by value."""
    return array.array("f", values.tobytes())


def _scan_message(name: str, robot_type: RobotType, period: float) -> LaserScan | None:
    lidar = robot_type.sensors.lidar
    if lidar is None:
        return None
    message = LaserScan(
        angle_min=lidar.angle_min,
        angle_max=lidar.angle_min + (lidar.beams - 1) * lidar.angle_increment,
        angle_increment=lidar.angle_increment,
        scan_time=period,
        range_min=lidar.min_range,
        range_max=lidar.range,
    )
    message.header.frame_id = f"{name}/base_scan"
    return message


def _range_messages(name: str, robot_type: RobotType) -> list[Range]:
    ring = robot_type.sensors.range_sensors
    if ring is None:
        return []
    messages = []
    for index in range(len(ring.bearings)):
        message = Range(
            radiation_type=Range.INFRARED,
            field_of_view=ring.fov,
            min_range=ring.min_range,
            max_range=ring.range,
        )
        message.header.frame_id = f"{name}/range_{index}"
        messages.append(message)
    return messages
