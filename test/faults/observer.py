"""An independent observer of robots and injected faults: checks every command against the messages on the topics.

Run in a separate process. It shares only the contract with the node; it decides itself which messages are valid.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from pathlib import Path

import numpy as np
import rclpy
from geometry_msgs.msg import PoseArray, PoseStamped, Twist
from lifecycle_msgs.msg import TransitionEvent
from nav_msgs.msg import Odometry
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import LaserScan, Range

from faults.harness import AGED, AT_ONCE, PERIOD, ROBOT_TYPES, SENSORS, TIMEOUT
from kdmarl_core.contract import DiffDrive, load_robot_types
from kdmarl_ros.node.signals import StopSignal

KEPT = 20
"""Violations of one robot that are reported in full."""
FUTURE = 0.2
"""How far a stamp may lie ahead [s]."""
_QUEUE = QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT)
_RELIABLE_QUEUE = QoSProfile(depth=50, reliability=ReliabilityPolicy.RELIABLE)


class Watch:
    """One robot. All times are source timestamps [s]: this process may be late, they are not."""

    def __init__(self, node: Node, namespace: str, action: DiffDrive) -> None:
        """Subscribe to all inputs of the robot, and to its commands."""
        self.commands = self.moving = self.violations = 0
        self.descriptions: list[str] = []
        self.worst = 0.0
        """longest time that a command to move came after an input's last valid message [s]"""
        self._name = namespace.strip("/")
        self._action = action
        self._last: np.ndarray | None = None
        self._valid: dict[str, float] = {}
        self._bad_orders: dict[str, float] = {}
        self._inactive_since = math.inf
        self._suspects: list[float] = []
        kinds = {"scan": LaserScan, "odom": Odometry, "neighbors": PoseArray}
        subscribe = node.create_subscription
        # What forbids or allows commands comes before them: of messages that are there at once, it is served first.
        subscribe(TransitionEvent, f"{namespace}/policy/transition_event", self._transition, 10)
        for topic, kind in (("goal_pose", PoseStamped), ("targets", PoseArray)):
            subscribe(kind, f"{namespace}/{topic}", self._order(topic), _RELIABLE_QUEUE)
        for topic in SENSORS:
            # As the node: it does not hear a lidar that offers too little, and so does not this.
            qos = _RELIABLE_QUEUE if topic == "scan" else _QUEUE
            subscribe(kinds.get(topic, Range), f"{namespace}/{topic}", self._sensor(topic), qos)
        subscribe(Twist, f"{namespace}/cmd_vel", self._command, _RELIABLE_QUEUE)

    def _transition(self, event: TransitionEvent, info: dict) -> None:
        at = _published(info)
        if event.goal_state.label != "active":
            self._inactive_since = min(self._inactive_since, at)
            return
        self.judge_suspects(at)
        self._inactive_since = math.inf

    def judge_suspects(self, active_since: float = math.inf) -> None:
        """Tell of commands of an inactive robot, now that it is known since when it is active, if it is."""
        for at in self._suspects:
            if at < active_since:
                self._tell(f"moves {at - self._inactive_since:.3f} s after it was deactivated")
        self._suspects.clear()

    def _order(self, topic: str):
        def receive(message, info: dict) -> None:
            if self._is_order_valid(message):
                self._bad_orders.pop(topic, None)
            else:
                self._bad_orders.setdefault(topic, _published(info))

        return receive

    def _sensor(self, topic: str):
        def receive(message, info: dict) -> None:
            at = _published(info)
            stamp = message.header.stamp
            age = at - (stamp.sec + stamp.nanosec * 1e-9)
            if -FUTURE <= age <= TIMEOUT and self._is_valid(topic, message):
                self._valid[topic] = at

        return receive

    def _command(self, message: Twist, info: dict) -> None:
        at, command = _published(info), np.array([message.linear.x, message.angular.z])
        last, self._last = self._last, command
        if last is None or len(self._valid) < len(SENSORS):
            return  # the middleware has not connected this process with all of the robot's topics yet
        self.commands += 1
        change = command - last
        if not command.any():
            return  # a stop may be as sudden as it likes
        self.moving += 1
        low, high = self._action.low, self._action.high
        if not ((command >= low - 1e-6) & (command <= high + 1e-6)).all():  # not finite, too
            self._tell(f"commands {command.tolist()}, outside {low.tolist()} to {high.tolist()}")
        if (np.abs(change) > self._action.acceleration * PERIOD + 1e-6).any():
            self._tell(f"changes its command by {change.tolist()} at once")
        if at - self._inactive_since > AT_ONCE:
            self._suspects.append(at)  # word of its activation may come late
        for topic in SENSORS:
            age = at - self._valid[topic]
            self.worst = max(self.worst, age)
            if age > AGED:
                self._tell(f"moves {age:.3f} s after the last valid {topic}")
        for topic, since in self._bad_orders.items():
            if at - since > AT_ONCE:
                self._tell(f"moves {at - since:.3f} s after a bad {topic}")

    def _tell(self, text: str) -> None:
        self.violations += 1
        if len(self.descriptions) < KEPT:
            self.descriptions.append(f"{self._name} {text}")

    def _is_valid(self, topic: str, message) -> bool:
        if topic == "scan":
            return _is_scan_valid(message)
        if topic == "odom":
            motion = message.twist.twist
            numbers = [motion.linear.x, motion.angular.z]
            return message.header.frame_id == "map" and bool(
                np.all(np.abs(numbers) < 1e30) and _is_pose_valid(message.pose.pose)
            )
        if topic == "neighbors":
            return message.header.frame_id == f"{self._name}/base_link" and all(map(_is_pose_valid, message.poses))
        return not math.isnan(message.range)  # stricter than the node, which forgives one; the table spoils two

    def _is_order_valid(self, message) -> bool:
        poses = message.poses if isinstance(message, PoseArray) else [message.pose]
        finite = all(math.isfinite(pose.position.x + pose.position.y) for pose in poses)
        return bool(poses) and finite and message.header.frame_id == "map"


def _is_scan_valid(scan: LaserScan) -> bool:
    ranges = np.frombuffer(scan.ranges, np.float32)
    numbers = [scan.angle_min, scan.angle_increment, scan.range_min]
    if not ranges.size or not np.isfinite(numbers).all() or not max(scan.range_min, 3.49) < scan.range_max:
        return False
    all_around = ranges.size * abs(scan.angle_increment) > 2 * math.pi - 0.1
    return all_around and np.count_nonzero(ranges >= scan.range_min) >= ranges.size / 2


def _is_pose_valid(pose) -> bool:
    q = pose.orientation
    return math.isfinite(pose.position.x + pose.position.y) and abs(q.w**2 + q.x**2 + q.y**2 + q.z**2 - 1) < 0.1


def _published(info: dict) -> float:
    return info["source_timestamp"] * 1e-9


def main() -> int:
    """Observe until SIGINT or SIGTERM, then write the findings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path, help="JSON file")
    parser.add_argument("robots", nargs="+", help="namespaces")
    arguments = parser.parse_args()
    types = arguments.output.with_suffix(".yaml")
    types.write_text(ROBOT_TYPES)
    action = load_robot_types(types)["probe"].action
    stop = StopSignal()
    rclpy.init(domain_id=int(os.environ["ROS_DOMAIN_ID"]), signal_handler_options=SignalHandlerOptions.NO)
    node = Node("observer")
    watches = {robot: Watch(node, robot, action) for robot in arguments.robots}
    stop.spin(node)
    for watch in watches.values():
        watch.judge_suspects()
    names = ("commands", "moving", "violations", "descriptions", "worst")
    seen = {robot: {name: getattr(watch, name) for name in names} for robot, watch in watches.items()}
    arguments.output.write_text(json.dumps(seen))
    rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
