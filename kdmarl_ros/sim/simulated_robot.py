"""The topics of one simulated robot: sensors out, commands in."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import (
    PoseArray,
    PoseWithCovarianceStamped,
    Twist,
    TwistStamped,
)
from nav_msgs.msg import Odometry
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile, qos_profile_sensor_data

from kdmarl_core.contract import Robot, RobotType
from kdmarl_core.contract.node_parameters import TRUTH
from kdmarl_core.contract.planar import Planar
from kdmarl_core.contract.sensors import Sensor, ending_of, kind_of
from kdmarl_core.mujoco.world import MujocoWorld
from kdmarl_ros.node.poses import to_pose
from kdmarl_ros.node.qos import LATCHED_QOS
from kdmarl_ros.sensors import SENSOR_TOPICS, topics_of
from kdmarl_ros.sim.drifting_odometry import POSE_PERIOD, DriftingOdometry
from kdmarl_ros.sim.lockstep import MESSAGE_PERIOD, message_period

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
        prefix: str,
        stamped: bool,
        on_command: CommandCallback,
        odometry_period: int = MESSAGE_PERIOD,
        drifting: DriftingOdometry | None = None,
    ) -> None:
        """Make the topics.

        Args:
            node: that they belong to.
            robot: whose name is their namespace.
            robot_type: with the sensors.
            frame: of its odometry.
            prefix: what the names of its own frames begin with.
            stamped: whether commands come as TwistStamped.
            on_command: called with the robot's name and a command for its kinematics.
            odometry_period: from message to message of odometry [ns].
            drifting: makes odometry of where the robot is, in a frame of its own, and poses in ``frame``; without it
                odometry says where the robot is in ``frame``.
        """
        self.name = robot.name
        self._period = odometry_period
        self._odometry = Odometry()
        self._odometry.header.frame_id = f"{prefix}odom" if drifting else frame
        self._odometry.child_frame_id = f"{prefix}base_link"
        self._odometry_publisher = _publisher(node, self.name, Odometry, "odom")
        self._localisation = _Localisation(node, self.name, frame, drifting) if drifting else None
        # Those that start control cycles last: a controller that acts on them has the rest.
        sensors = reversed(robot_type.sensors.carried.items())
        self._sensors = [_Sensor(node, self.name, prefix, name, sensor) for name, sensor in sensors]
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

    def publish(self, world: MujocoWorld, stamp: Time, due: Callable[[int], bool]) -> None:
        """Publish what is read in ``world`` now by all that is ``due``, as a time from message to message [ns] says."""
        if due(self._period):
            self._fill_odometry(world, stamp)
            if self._localisation:
                self._localisation.publish(self._odometry, due(POSE_PERIOD))
            self._odometry_publisher.publish(self._odometry)
            if self._neighbors_publisher.get_subscription_count():  # few policies look at the others
                self._neighbors.header.stamp = stamp
                self._neighbors.poses = [to_pose(Planar(*place)) for place in world.neighbors(self.name)]
                self._neighbors_publisher.publish(self._neighbors)
        for sensor in self._sensors:
            if due(sensor.period):
                sensor.publish(world, stamp)

    def _fill_odometry(self, world: MujocoWorld, stamp: Time) -> None:
        at, message = world.odometry(self.name), self._odometry
        message.header.stamp = stamp
        twist = message.twist.twist
        _put(message, Planar(at.x, at.y, at.yaw))
        twist.linear.x, twist.linear.y, twist.angular.z = at.forward, at.lateral, at.yaw_rate


class _Localisation:
    """Topics of a robot whose odometry drifts: its true odometry, and a localisation's poses, latched as AMCL's."""

    def __init__(self, node: Node, robot: str, frame: str, drifting: DriftingOdometry) -> None:
        self._drifting = drifting
        self._frame = frame
        self._pose = PoseWithCovarianceStamped()
        self._pose.header.frame_id = frame
        self._pose_publisher = node.create_publisher(PoseWithCovarianceStamped, f"{robot}/pose", LATCHED_QOS)
        self._truth_publisher = _publisher(node, robot, Odometry, TRUTH)

    def publish(self, odometry: Odometry, with_pose: bool) -> None:
        """Publish the true ``odometry``, with a pose if it is time for one, and make it what the wheels measure."""
        own_frame, odometry.header.frame_id = odometry.header.frame_id, self._frame
        self._truth_publisher.publish(odometry)
        odometry.header.frame_id = own_frame
        position, turned = odometry.pose.pose.position, odometry.pose.pose.orientation
        true = Planar(position.x, position.y, 2 * math.atan2(turned.z, turned.w))
        _put(odometry, self._drifting.measure(true))
        if with_pose:
            self._pose.header.stamp = odometry.header.stamp
            _put(self._pose, self._drifting.localise(true))
            self._pose_publisher.publish(self._pose)


def _put(message: Odometry | PoseWithCovarianceStamped, place: Planar) -> None:
    pose = message.pose.pose
    pose.position.x, pose.position.y = place.x, place.y
    pose.orientation.z, pose.orientation.w = math.sin(place.yaw / 2), math.cos(place.yaw / 2)


class _Sensor:
    """The topics of one sensor."""

    def __init__(self, node: Node, robot: str, prefix: str, name: str, sensor: Sensor) -> None:
        self._robot, self._name, self._sensor = robot, name, sensor
        self.period = message_period(sensor)
        """from message to message [ns]"""
        self._topics = SENSOR_TOPICS[kind_of(name)]
        self._messages = self._topics.messages(sensor, prefix, self.period / 1e9)
        for message in self._messages:
            message.header.frame_id += ending_of(name)
        topics = topics_of(name)[: len(self._messages)]
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
