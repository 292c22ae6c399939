"""The topics of one simulated robot: sensors out, commands in."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Pose, PoseArray, Quaternion, Twist, TwistStamped
from nav_msgs.msg import Odometry
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile, qos_profile_sensor_data

from kdmarl_core.contract import Robot, RobotType
from kdmarl_core.contract.sensors import Sensor
from kdmarl_core.mujoco.world import MujocoWorld
from kdmarl_ros.sensors import SENSOR_TOPICS

CommandCallback = Callable[[str, tuple[float, ...]], None]


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
            period: between two messages of a sensor [s].
            on_command: called with the robot's name and a command for its kinematics.
        """
        self.name = robot.name
        self._odometry = Odometry()
        self._odometry.header.frame_id = frame
        self._odometry.child_frame_id = f"{robot.name}/base_link"
        self._odometry_publisher = _publisher(node, self.name, Odometry, "odom")
        # Those that start control cycles last: a controller that acts on them has the rest.
        sensors = reversed(robot_type.sensors.carried.items())
        self._sensors = [_Sensor(node, self.name, name, sensor, period) for name, sensor in sensors]
        self._neighbors = PoseArray()
        self._neighbors.header.frame_id = self._odometry.child_frame_id
        self._neighbors_publisher = _publisher(node, self.name, PoseArray, "neighbors")

        def hand_over(message: Twist | TwistStamped) -> None:
            twist = message.twist if stamped else message
            motion = np.array([twist.linear.x, twist.linear.y, twist.angular.z])
            on_command(robot.name, tuple(robot_type.action.command(motion).tolist()))

        node.create_subscription(
            TwistStamped if stamped else Twist, f"{robot.name}/cmd_vel", hand_over, QoSProfile(depth=1)
        )

    def publish(self, world: MujocoWorld, stamp: Time) -> None:
        """Publish what every sensor reads in ``world`` now."""
        self._fill_odometry(world, stamp)
        self._odometry_publisher.publish(self._odometry)
        if self._neighbors_publisher.get_subscription_count():  # few policies look at the others
            self._neighbors.header.stamp = stamp
            self._neighbors.poses = [_pose(*place) for place in world.neighbors(self.name)]
            self._neighbors_publisher.publish(self._neighbors)
        for sensor in self._sensors:
            sensor.publish(world, stamp)

    def _fill_odometry(self, world: MujocoWorld, stamp: Time) -> None:
        at, message = world.odometry(self.name), self._odometry
        message.header.stamp = stamp
        pose, twist = message.pose.pose, message.twist.twist
        pose.position.x, pose.position.y = at.x, at.y
        pose.orientation.z, pose.orientation.w = math.sin(at.yaw / 2), math.cos(at.yaw / 2)
        twist.linear.x, twist.linear.y, twist.angular.z = at.forward, at.lateral, at.yaw_rate


def _pose(x: float, y: float, yaw: float) -> Pose:
    return Pose(position=Point(x=x, y=y), orientation=Quaternion(z=math.sin(yaw / 2), w=math.cos(yaw / 2)))


class _Sensor:
    """The topics of one sensor."""

    def __init__(self, node: Node, robot: str, name: str, sensor: Sensor, period: float) -> None:
        self._robot, self._name, self._sensor = robot, name, sensor
        self._topics = SENSOR_TOPICS[name]
        self._messages = self._topics.messages(sensor, robot, period)
        topics = self._topics.topics[: len(self._messages)]
        self._publishers = [_publisher(node, robot, self._topics.kind, topic) for topic in topics]

    def publish(self, world: MujocoWorld, stamp: Time) -> None:
        measured = world.sense(self._robot, self._name)
        if measured is None:
            return
        self._topics.fill(self._sensor, self._messages, measured)
        for message, publisher in zip(self._messages, self._publishers, strict=True):
            message.header.stamp = stamp
            publisher.publish(message)


def _publisher(node: Node, robot: str, kind: type, topic: str) -> Publisher:
    return node.create_publisher(kind, f"{robot}/{topic}", qos_profile_sensor_data)
