"""What a policy node reports on /diagnostics."""

from __future__ import annotations

from collections import Counter

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node

from kdmarl_core.runtime import Policy, ScanGuard
from kdmarl_core.runtime.domain_watch import DomainWatch
from kdmarl_core.runtime.faults import WAITS, Cause
from kdmarl_ros.node.qos import Endpoint
from kdmarl_ros.robot.commands import Commands

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


class Diagnostics:
    """State of one robot, published once a second and whenever it changes.

    Attributes: ``policy`` and ``guard`` (None when unconfigured, or without one), ``endpoints`` whose QoS problems are
    reported, ``commands`` whose missing subscribers are reported, ``domain``, which reports what differs from training,
    ``cycles`` (commands published), ``guarded_cycles`` (of these, changed by the guard), ``stops`` by cause, and
    ``compute_time`` of the last cycle [s].
    """

    def __init__(self, node: Node) -> None:
        """Publish for ``node``; the robot's name is its namespace."""
        self._node = node
        self._robot = node.get_namespace().strip("/") or node.get_name()
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._state: tuple[bytes, str] = (WARN, "unconfigured")
        self.policy: Policy | None = None
        self.guard: ScanGuard | None = None
        self.endpoints: list[Endpoint] = []
        self.commands: Commands | None = None
        self.domain: DomainWatch | None = None
        self.cycles = 0
        self.guarded_cycles = 0
        self.stops: Counter[Cause] = Counter()
        self.compute_time = 0.0
        # On the steady clock, so that a stopped /clock does not silence it.
        node.create_timer(1.0, self._publish, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def set(self, level: bytes, message: str, at_once: bool = True) -> None:
        """Set the message; publish it ``at_once``, or with the next regular publication."""
        self._state = (level, message)
        if at_once:
            self._publish()

    def renew(self) -> None:
        """Publish the current state at once, since subscribers have changed."""
        self._publish()

    def _publish(self) -> None:
        level, message = self._state
        values = self._values()
        if level == OK and values["incompatible_qos"]:
            level, message = WARN, f"{message}, but with an incompatible QoS: {values['incompatible_qos']}"
        elif level == OK and self.commands and (unheard := self.commands.unheard()):
            level, message = WARN, f"{message}, but {unheard}"
        elif level == OK and self.domain and (differences := self.domain.differences()):
            level, message = WARN, f"{message}, but {differences}"
        status = DiagnosticStatus(
            level=level,
            name=f"{self._robot}: policy",
            message=message,
            hardware_id=self._robot,
            values=[KeyValue(key=key, value=value) for key, value in values.items()],
        )
        array = DiagnosticArray(status=[status])
        array.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(array)

    def _values(self) -> dict[str, str]:
        values = {"policy": "", "policy_sha256": "", "policy_file": ""}
        if self.policy:
            values = {
                "policy": self.policy.manifest.name,
                "policy_sha256": self.policy.sha256[:12],
                "policy_file": str(self.policy.path),
            }
        values["cycles"] = str(self.cycles)
        if self.guard:
            values["guarded_cycles"] = str(self.guarded_cycles)
        values["compute_time_ms"] = f"{self.compute_time * 1e3:.3f}"
        incompatible = {endpoint.topic: endpoint.incompatible() for endpoint in self.endpoints}
        values["incompatible_qos"] = ", ".join(
            f"{topic} ({policy})" for topic, policy in incompatible.items() if policy
        )
        return values | {f"stops_{cause.value}": str(self.stops[cause]) for cause in Cause if cause not in WAITS}
