"""The bodies of robots for ``kdmarl-swarm bench``: sensor messages out, commands in, and the time between."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import Twist
from nav_msgs.msg import Odometry
from rclpy.executors import Executor, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.subscription import MessageInfo
from sensor_msgs.msg import LaserScan

from kdmarl_ros.node.qos import SENSOR_QOS
from kdmarl_ros.sensors import SENSOR_TOPICS

MISSED = "stops_missed_deadline"
"""What a robot counts in its diagnostics when it stops for missed deadlines."""


class Answers(NamedTuple):
    """What came of the moments at which commands were due."""

    latencies: np.ndarray
    """from each moment to the command, for those that had one [s]"""
    due: int
    """moments"""

    @property
    def lost(self) -> int:
        """Moments without a command before the next."""
        return self.due - len(self.latencies)


def match(due: np.ndarray, commands: np.ndarray) -> Answers:
    """To each moment but the last the first command before the next moment; both sorted, (n,) [ns]."""
    following = np.searchsorted(commands, due[:-1])
    padded = np.append(commands, np.iinfo(np.int64).max)
    answer = padded[following]
    answered = answer < due[1:]
    return Answers((answer - due[:-1])[answered] / 1e9, len(due) - 1)


def spin(executor: Executor, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
    """Let nodes work for ``seconds``, or until something holds; whether it does."""
    end = time.monotonic() + seconds
    while not until():
        if time.monotonic() > end:
            return False
        executor.spin_once(timeout_sec=0.1)
    return True


def stops_of(status: DiagnosticStatus) -> dict[str, int]:
    """Counter → stops so far, as a robot says itself; empty for what is no robot's."""
    return {pair.key: int(pair.value) for pair in status.values if pair.key.startswith("stops_")}


class Bodies:
    """Robots that stand in the open: every period an odometry and then a scan of each, one robot after the other.

    The robots' moments are spread over the period, as those of robots are that do not know of each other.
    """

    def __init__(self, robots: list[str], period: float, context: Any = None) -> None:
        """Begin to publish every ``period`` [s] when spun."""
        self.node = Node("bodies", context=context, start_parameter_services=False, enable_rosout=False)
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self.node)
        self.sent: dict[str, list[int]] = {robot: [] for robot in robots}
        """moment before each scan was published [ns, system clock]"""
        self.commands: dict[str, list[int]] = {robot: [] for robot in robots}
        """moment at which each command was published, as the middleware says [ns, system clock]"""
        self.missed_deadlines: dict[str, int] = {}
        """robot → stops for missed deadlines so far, as it says itself"""
        self._robots, self._next = robots, 0
        self._odometry, self._scan = _odometry(), _scan()
        self._publishers = {
            robot: (
                self.node.create_publisher(Odometry, f"/{robot}/odom", SENSOR_QOS),
                self.node.create_publisher(LaserScan, f"/{robot}/scan", SENSOR_QOS),
            )
            for robot in robots
        }
        for robot, commands in self.commands.items():
            self.node.create_subscription(Twist, f"/{robot}/cmd_vel", _keeper(commands), QoSProfile(depth=10))
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._diagnose, QoSProfile(depth=100))
        self.node.create_timer(period / len(robots), self._publish)

    def _publish(self) -> None:
        robot = self._robots[self._next]
        self._next = (self._next + 1) % len(self._robots)
        odometry, scan = self._publishers[robot]
        stamp = self.node.get_clock().now().to_msg()
        self._odometry.header.stamp = self._scan.header.stamp = stamp
        odometry.publish(self._odometry)
        self.sent[robot].append(time.time_ns())
        scan.publish(self._scan)

    def _diagnose(self, message: DiagnosticArray) -> None:
        for status in message.status:
            stops = stops_of(status)
            if MISSED in stops:
                self.missed_deadlines[status.hardware_id] = stops[MISSED]

    def clear(self) -> None:
        """Forget what was sent and received."""
        for times in (*self.sent.values(), *self.commands.values()):
            times.clear()

    def spin(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Go on for ``seconds``, or until something holds; whether it does."""
        return spin(self._executor, seconds, until)

    def close(self) -> None:
        """End it."""
        self._executor.shutdown(timeout_sec=0)
        self.node.destroy_node()


def _keeper(commands: list[int]) -> Callable[[Twist, MessageInfo], None]:
    def keep(message: Twist, info: MessageInfo) -> None:
        commands.append(info["source_timestamp"])

    return keep


def _odometry() -> Odometry:
    message = Odometry()
    message.header.frame_id = "map"
    message.pose.pose.orientation.w = 1.0
    return message


def _scan() -> LaserScan:
    message = SENSOR_TOPICS["lidar"].example()
    message.scan_time = 0.1
    return message
