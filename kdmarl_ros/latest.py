"""The latest message of one topic, and whether it can be trusted."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rclpy.clock import ROSClock
from rclpy.node import Node

from kdmarl_ros.faults import Cause, Fault
from kdmarl_ros.qos import ORDER_QOS, SENSOR_QOS, Endpoint

FUTURE_TOLERANCE = 200_000_000
"""How far a stamp may lie ahead of our clock [ns]: clocks of two hosts never agree fully."""

YEAR = 365 * 24 * 3600 * 1_000_000_000
"""[ns]; simulated time begins at zero, and wall time is decades later."""

ORDERS = {"goal_pose": "a goal", "targets": "targets"}
"""Topics that say where to go, and what they give: not measured, so they never go stale."""


def arrival_time(clock: ROSClock) -> int:
    """Now, on the clock that ages are measured on [ns].

    That is the steady clock, which no one can set; with simulated time it is ROS time, since a simulator may
    run at any speed (the watchdog sees to it that it runs at all).
    """
    return clock.now().nanoseconds if clock.ros_time_is_active else time.monotonic_ns()


class Latest:
    """The latest message of one topic. Nothing is computed here: most messages are never looked at."""

    def __init__(self, node: Node, topic: str, type_: type) -> None:
        self.topic = topic
        self.message: Any = None
        self.arrived = 0
        self._node = node
        self._clock: ROSClock = node.get_clock()
        self.endpoint = Endpoint(node, topic, ORDER_QOS if topic in ORDERS else SENSOR_QOS)
        self._subscription = self.endpoint.make(node.create_subscription, type_, self._receive)
        self.on_news: Callable[[], None] | None = None

    def _receive(self, message: Any) -> None:
        self.message = message
        self.arrived = arrival_time(self._clock)
        if self.on_news is not None:
            self.on_news()

    def destroy(self) -> None:
        """End the subscription."""
        self._node.destroy_subscription(self._subscription)

    @property
    def hint(self) -> str:
        """What may be the reason when nothing comes; empty if nothing is known of it."""
        policy = self.endpoint.incompatible()
        return f"a publisher there has an incompatible QoS ({policy}), " if policy else ""

    def require_fresh(self, now: int, arrival_now: int, timeout: int) -> None:
        """Refuse a message that is missing, too old by arrival or by stamp, or from the future (all [ns])."""
        if self.message is None:
            raise Fault(
                Cause.MISSING, f"nothing received on {self.endpoint.topic}; {self.hint}check that it is published there"
            )
        silent = arrival_now - self.arrived
        if silent > timeout:
            raise Fault(
                Cause.STALE, f"nothing on {self.endpoint.topic} for {silent / 1e9:.2f} s; {self.hint}check the sensor"
            )
        stamp = self.message.header.stamp
        stamped = stamp.sec * 1_000_000_000 + stamp.nanosec
        self._require_same_time(now, stamped)
        age = now - stamped
        if age > timeout:
            raise Fault(
                Cause.STALE,
                f"{self.topic} was stamped {age / 1e9:.2f} s ago; check the sensor and that the clocks agree",
            )
        if age < -FUTURE_TOLERANCE:
            raise Fault(
                Cause.FUTURE, f"{self.topic} was stamped {-age / 1e9:.2f} s in the future; check that the clocks agree"
            )

    def _require_same_time(self, now: int, stamped: int) -> None:
        """Refuse a stamp of simulated time where this node runs on wall time, and the other way round."""
        is_simulated = self._clock.ros_time_is_active
        if stamped < YEAR <= now and not is_simulated:
            raise Fault(
                Cause.STALE,
                f"{self.topic} is stamped in simulated time ({stamped / 1e9:.1f} s), this node runs on wall time; "
                "start it with use_sim_time (sim 'external'), or set the clock of the sensor's computer",
            )
        if now < YEAR <= stamped and is_simulated:
            raise Fault(
                Cause.FUTURE,
                f"{self.topic} is stamped in wall time, this node runs on simulated time ({now / 1e9:.1f} s); set "
                "use_sim_time where it is published, or give sim 'none'",
            )
