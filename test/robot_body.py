"""Stand-in for a robot's base: publishes sensors, and records the policy node's commands and diagnostics."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Point, Pose, PoseArray, PoseStamped, Twist
from lifecycle_msgs.srv import ChangeState, GetState
from nav_msgs.msg import Odometry
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParametersAtomically
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from rosgraph_msgs.msg import Clock

from kdmarl_core.contract.planar import Planar
from kdmarl_ros.sensors import SENSOR_TOPICS
from node_process import Client

SENSOR_PERIOD = 0.05
"""[s]"""
CLOCK_PERIOD = 0.02
"""of ``/clock``, in simulated and in real time [s]"""
CONFIGURE, CLEANUP, ACTIVATE, DEACTIVATE = 1, 2, 3, 4
SENSORS = {topic: sensor for sensor in SENSOR_TOPICS.values() for topic in sensor.topics}
SENSORS["scan_rear"] = SENSOR_TOPICS["lidar"]

Edit = Callable[[object], object]


class RobotBody(Client):
    """Publishes sensor messages at 20 Hz, and records the commands with their times.

    Attributes: ``commands`` as (time of arrival, forward speed, yaw rate), ``left``, the speed to the left of each,
    ``diagnostics`` as (level, message, values),
    ``sent`` with the time of the last message by topic, ``lateness``, the longest that sensor messages were late since
    it was set to zero [s], ``edits``, which change (or, returning None, withhold) messages by topic, and ``offset`` of
    its clock [s].
    """

    def __init__(self, command_type: type = Twist, namespace: str = "/r1", topics: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.commands: list[tuple[float, float, float]] = []
        self.left: list[float] = []
        self.diagnostics: list[tuple[bytes, str, dict[str, str]]] = []
        self.sent: dict[str, float] = {}
        self.lateness = 0.0
        self.edits: dict[str, Edit] = {}
        self.offset = 0.0
        self._twin: Any = None
        self.sim_time: float | None = None
        self.clock_runs = True
        self._name = namespace.strip("/")
        self._ticked = 0.0
        self._ear: Any = None
        node = self.node
        topics = topics or ("scan", "odom", *(f"range_{index}" for index in range(8)))
        self._publishers = {
            topic: node.create_publisher(_kind(topic), f"{namespace}/{topic}", qos_profile_sensor_data)
            for topic in topics
        }
        self.goals = node.create_publisher(PoseStamped, f"{namespace}/goal_pose", 1)
        self.targets = node.create_publisher(PoseArray, f"{namespace}/targets", 1)
        self._command_topic = f"{namespace}/cmd_vel"
        self.listen_to(command_type)
        node.create_subscription(DiagnosticArray, "/diagnostics", self._diagnose, 10)
        self._change = node.create_client(ChangeState, f"{namespace}/policy/change_state")
        self._get = node.create_client(GetState, f"{namespace}/policy/get_state")
        self._set = node.create_client(SetParametersAtomically, f"{namespace}/policy/set_parameters_atomically")
        self.publish_timer = node.create_timer(SENSOR_PERIOD, self._tick)

    # Out

    def publish(self) -> None:
        """Send one message of each sensor."""
        for topic, publisher in self._publishers.items():
            message = sensor_message(topic)
            stamp(message, self.now())
            fill(topic, message, self._name)
            if topic in self.edits:
                message = self.edits[topic](message)
            if message is not None:
                self.sent[topic] = time.monotonic()
                publisher.publish(message)

    def offer(self, topic: str, qos: QoSProfile, kind: type | None = None) -> None:
        """Publish ``topic`` with another quality of service from now on, or only advertise it with type ``kind``."""
        old = self._publishers[topic]
        name = old.topic_name
        self.node.destroy_publisher(old)
        self._publishers[topic] = self.node.create_publisher(kind or _kind(topic), name, qos)
        if kind:
            self.edits[topic] = lambda message: None

    def double(self, topic: str, qos: QoSProfile) -> None:
        """Publish ``topic`` also with a second publisher, once that is connected, half a period after the first."""
        self._twin = self.node.create_publisher(_kind(topic), self._publishers[topic].topic_name, qos)
        assert self.until(self._twin.get_subscription_count, 5)
        ticked = self._ticked
        self.until(lambda: self._ticked > ticked, 5)
        self.spin(SENSOR_PERIOD / 2)

        def publish() -> None:
            message = sensor_message(topic)
            stamp(message, self.now())
            fill(topic, message, self._name)
            self._twin.publish(message)

        self._twin_timer = self.node.create_timer(SENSOR_PERIOD, publish)

    def single(self) -> None:
        """Remove second publishers."""
        if self._twin is not None:
            self.node.destroy_timer(self._twin_timer)
            self.node.destroy_publisher(self._twin)
            self._twin = None

    def simulate_time(self, start: float) -> None:
        """Stamp with simulated time [s], and publish it as long as ``clock_runs``."""
        self.sim_time = start
        publisher = self.node.create_publisher(Clock, "/clock", 1)

        def tick() -> None:
            if self.clock_runs:
                self.sim_time = round(self.sim_time + CLOCK_PERIOD, 3)
                message = Clock()
                message.clock.sec, message.clock.nanosec = int(self.sim_time), round(self.sim_time % 1 * 1e9)
                message = self.edits.get("/clock", lambda clock: clock)(message)
                self.sent["/clock"] = time.monotonic()
                publisher.publish(message)

        self.node.create_timer(CLOCK_PERIOD, tick)

    def now(self) -> float:
        return time.time() + self.offset if self.sim_time is None else self.sim_time

    def _tick(self) -> None:
        now = time.monotonic()
        if self._ticked:
            self.lateness = max(self.lateness, now - self._ticked - SENSOR_PERIOD)
        self._ticked = now
        self.publish()

    # In

    def listen_to(self, kind: type | None) -> None:
        """Subscribe to commands of type ``kind`` from now on; None: to none."""
        if self._ear is not None:
            self.node.destroy_subscription(self._ear)
        self._ear = kind and self.node.create_subscription(kind, self._command_topic, self._command, 10)

    def _command(self, message) -> None:
        twist = getattr(message, "twist", message)
        self.left.append(twist.linear.y)
        self.commands.append((time.monotonic(), twist.linear.x, twist.angular.z))

    def _diagnose(self, message) -> None:
        status = message.status[0]
        if status.hardware_id == self._name:
            self.diagnostics.append((status.level, status.message, {v.key: v.value for v in status.values}))

    def stop_counts(self) -> dict[str, str]:
        return {key: value for key, value in self.diagnostics[-1][2].items() if key.startswith("stops_")}

    def moving(self, since: float = 0.0) -> list[tuple[float, float, float]]:
        return [command for command in self.commands if command[0] > since and any(command[1:])]

    def stops(self, since: float = 0.0) -> list[tuple[float, float, float]]:
        return [command for command in self.commands if command[0] > since and not any(command[1:])]

    def halts(self, since: float, timeout: float = 10.0) -> float:
        """Wait for the first zero command after ``since``; returns the time until it [s]."""
        assert self.until(lambda: self.stops(since), timeout), self.diagnostics[-1:]
        return self.stops(since)[0][0] - since

    def drives(self, timeout: float = 15.0) -> bool:
        """Wait for a command to move, from now on."""
        since = time.monotonic()
        return self.until(lambda: len(self.moving(since)) >= 3, timeout)

    def commands_come_to(self, expected, timeout: float = 15.0) -> bool:
        """Wait for the command ``expected`` (forward speed, yaw rate)."""
        return self.until(
            lambda: self.commands and np.allclose(self.commands[-1][1:], expected, rtol=1e-4, atol=0), timeout
        )

    def says(self, text: str, timeout: float = 10.0) -> bool:
        return self.until(lambda: any(text in message for _, message, _ in self.diagnostics), timeout)

    # Services

    def call(self, client, request):
        assert client.wait_for_service(timeout_sec=10)
        future = client.call_async(request)
        assert self.until(future.done, 10)
        return future.result()

    def transition(self, number: int) -> bool:
        request = ChangeState.Request()
        request.transition.id = number
        return self.call(self._change, request).success

    def state(self) -> str:
        return self.call(self._get, GetState.Request()).current_state.label

    def set_policy(self, path):
        value = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=str(path))
        request = SetParametersAtomically.Request(parameters=[Parameter(name="policy", value=value)])
        return self.call(self._set, request).result


def stamp(message, seconds: float) -> None:
    header = message.header
    header.stamp.sec, header.stamp.nanosec = int(seconds), int(seconds % 1 * 1e9)


def fill(topic: str, message, robot: str = "r1") -> None:
    """A robot at (1, 2) facing +y, 2 m from everything, with another one ahead to the left."""
    message.header.frame_id = f"{robot}/{topic}"
    if topic == "odom":
        message.header.frame_id, message.child_frame_id = "map", f"{robot}/base_link"
        message.pose.pose.position.x, message.pose.pose.position.y = 1.0, 2.0
        message.pose.pose.orientation.z = message.pose.pose.orientation.w = math.sqrt(0.5)
    elif topic == "neighbors":
        message.header.frame_id = f"{robot}/base_link"
        message.poses = [Pose(position=Point(x=1.5, y=1.5))]


def posed(message: Any, place: Planar, seconds: float, frame: str) -> Any:
    """An Odometry or PoseWithCovarianceStamped with a pose in ``frame``, stamped with a time [s]."""
    message.header.frame_id = frame
    stamp(message, seconds)
    pose = message.pose.pose
    pose.position.x, pose.position.y = place.x, place.y
    pose.orientation.z, pose.orientation.w = math.sin(place.yaw / 2), math.cos(place.yaw / 2)
    return message


def edited(**values: object) -> Edit:
    """An edit that sets attributes, by dotted path with ``__`` for the dot."""

    def edit(message):
        for path, value in values.items():
            owner = message
            *parents, name = path.split("__")
            for parent in parents:
                owner = getattr(owner, parent)
            setattr(owner, name, value)
        return message

    return edit


def shifted(seconds: float) -> Edit:
    """An edit that shifts the stamp, in wall time."""

    def edit(message):
        stamp(message, time.time() + seconds)
        return message

    return edit


def place(x: float, y: float, frame: str = "map") -> PoseStamped:
    """A goal."""
    goal = PoseStamped()
    goal.header.frame_id = frame
    goal.pose.position.x, goal.pose.position.y = float(x), float(y)
    return goal


def places(*xy: tuple[float, float], frame: str = "map") -> PoseArray:
    """Targets."""
    message = PoseArray(poses=[Pose(position=Point(x=float(x), y=float(y))) for x, y in xy])
    message.header.frame_id = frame
    return message


def sensor_message(topic: str):
    """A message for ``topic``; those of odometry and neighbors are empty."""
    return SENSORS[topic].example() if topic in SENSORS else _kind(topic)()


def _kind(topic: str) -> type:
    return SENSORS[topic].kind if topic in SENSORS else {"odom": Odometry, "neighbors": PoseArray}[topic]
