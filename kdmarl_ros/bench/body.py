"""Stand-ins for robot bases in ``kdmarl-swarm bench``: publish sensors, receive commands, record their times."""

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
"""The diagnostics counter of stops for missed deadlines."""


class Answers(NamedTuple):
    """Commands, compared with the times at which they were due."""

    latencies: np.ndarray
    """from each due time to its command, if there was one [s]"""
    due: int
    """number of due times"""

    @property
    def lost(self) -> int:
        """Due times without a command before the next."""
        return self.due - len(self.latencies)


def match(due: np.ndarray, commands: np.ndarray) -> Answers:
    """Match each due time but the last with the first command before the next one; both sorted, (n,) [ns]."""
    following = np.searchsorted(commands, due[:-1])
    padded = np.append(commands, np.iinfo(np.int64).max)
    answer = padded[following]
    answered = answer < due[1:]
    return Answers((answer - due[:-1])[answered] / 1e9, len(due) - 1)


def spin(executor: Executor, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
    """Spin for ``seconds``, or until a condition holds; returns whether it does."""
    end = time.monotonic() + seconds
    while not until():
        if time.monotonic() > end:
            return False
        executor.spin_once(timeout_sec=0.1)
    return True


def stops_of(status: DiagnosticStatus) -> dict[str, int]:
    """Counter → stops so far, from a robot's diagnostics; empty for other statuses."""
    return {pair.key: int(pair.value) for pair in status.values if pair.key.startswith("stops_")}


class Bodies:
    """Robots that stand in the open: in every period each publishes odometry and then a scan, one after the other.

    Their publications are spread over the period, as those of unsynchronised robots are.
    """

    def __init__(self, robots: list[str], period: float, context: Any = None) -> None:
        """Begin to publish every ``period`` [s] when spun."""
        self.node = Node("bodies", context=context, start_parameter_services=False, enable_rosout=False)
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self.node)
        self.sent: dict[str, list[int]] = {robot: [] for robot in robots}
        """time just before each scan was published [ns, system clock]"""
        self.commands: dict[str, list[int]] = {robot: [] for robot in robots}
        """source timestamp of each command from the middleware [ns, system clock]"""
        self.missed_deadlines: dict[str, int] = {}
        """robot → stops for missed deadlines so far, from its diagnostics"""
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
        """Clear the recorded times."""
        for times in (*self.sent.values(), *self.commands.values()):
            times.clear()

    def spin(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """See :func:`spin`."""
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
