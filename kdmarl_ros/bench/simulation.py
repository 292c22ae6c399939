"""Robots in the simulator for ``kdmarl-swarm bench``: do simulated time and control cycles keep up?"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import yaml
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rosgraph_msgs.msg import Clock

from kdmarl_core.contract import Robot, Swarm
from kdmarl_ros.bench.body import MISSED, spin, stops_of

SPACING = 1.0
"""Minimum distance between robots at the start [m]."""


def on_a_circle(swarm: Swarm, robot: Robot, names: list[str], folder: Path) -> Path:
    """Write a swarm file of copies of ``robot`` on a circle, each with its goal on the opposite side."""
    radius = max(3.0, len(names) * SPACING / math.tau)
    robots = []
    for index, name in enumerate(names):
        angle = math.tau * index / len(names)
        x, y = radius * math.cos(angle), radius * math.sin(angle)
        pose = [x, y, math.remainder(angle + math.pi, math.tau)]
        robots.append({"name": name, "type": robot.type, "pose": pose, "goal": [-x, -y]})
    path = folder / "circle.yaml"
    data = {
        "schema_version": 1,
        "name": "circle",
        "task": swarm.task,
        "robot_types": str(swarm.robot_types_file),
        "policies": {robot.type: str(swarm.policies[robot.type])},
        "robots": robots,
        "world": {"size": [2 * radius + 2.0] * 2},
    }
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    return path


class Onlooker:
    """Subscribes to ``/clock`` and ``/diagnostics``."""

    def __init__(self) -> None:
        self._node = Node("onlooker", start_parameter_services=False, enable_rosout=False)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._node.create_subscription(Clock, "/clock", self._tick, QoSProfile(depth=1))
        self._node.create_subscription(DiagnosticArray, "/diagnostics", self._diagnose, QoSProfile(depth=100))
        self._clock = 0.0
        self._stops: dict[str, dict[str, int]] = {}
        self._driving: set[str] = set()

    def _tick(self, message: Clock) -> None:
        self._clock = message.clock.sec + message.clock.nanosec / 1e9

    def _diagnose(self, message: DiagnosticArray) -> None:
        for status in message.status:
            stops = stops_of(status)
            if stops:
                self._stops[status.hardware_id] = stops
                if status.level == DiagnosticStatus.OK:
                    self._driving.add(status.hardware_id)

    def wait_for(self, robots: int, seconds: float) -> int:
        """Wait at most ``seconds`` until this number of robots drives; returns how many do."""
        spin(self._executor, seconds, lambda: len(self._driving) >= robots)
        return len(self._driving)

    def watch(self, seconds: float) -> dict[str, Any]:
        """Over ``seconds``, measure the real-time factor and count stops."""
        before, clock, began = self._totals(), self._clock, time.monotonic()
        spin(self._executor, seconds)
        simulated, real, after = self._clock - clock, time.monotonic() - began, self._totals()
        return {
            "seconds": round(real, 1),
            "real_time_factor": round(simulated / real, 4),
            "missed_deadlines": after[MISSED] - before[MISSED],
            "stops": sum(after.values()) - sum(before.values()),
        }

    def _totals(self) -> dict[str, int]:
        """Counter → stops of all robots so far."""
        totals = {MISSED: 0}
        for stops in self._stops.values():
            for cause, count in stops.items():
                totals[cause] = totals.get(cause, 0) + count
        return totals

    def close(self) -> None:
        """End it."""
        self._executor.shutdown(timeout_sec=0)
        self._node.destroy_node()
