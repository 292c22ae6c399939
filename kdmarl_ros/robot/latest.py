"""The latest message of one topic, and whether it can be trusted."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from statistics import median
from typing import Any

from rclpy.clock import ROSClock
from rclpy.node import Node

from kdmarl_core.runtime.faults import Cause, Fault
from kdmarl_ros.node.qos import ORDER_QOS, SENSOR_QOS, Endpoint

FUTURE_TOLERANCE = 200_000_000
"""How far a stamp may be ahead of our clock [ns]: clocks of two hosts never agree fully."""

YEAR = 365 * 24 * 3600 * 1_000_000_000
"""[ns]; simulated time begins at zero, and wall time is decades later."""

RETURNS, WITHIN = 3, 600_000_000
"""This many changes back to an earlier source of a topic, within this time [ns], mean that several sources alternate.
A device that restarts, or uses another frame for a while, changes only once or twice."""

INTERVALS = 4
"""From message to message, of which the longest counts: two that come at once do not make a lidar faster."""

MAX_SOURCES = 16
"""Remembered sources per topic."""

ORDERS = {"goal_pose": "a goal", "targets": "targets"}
"""Topics with destinations, and their contents; they are not sensors, so they never become stale."""


def arrival_time(clock: ROSClock) -> int:
    """Now, on the clock for measuring ages [ns].

    That is the steady clock, which cannot be set; with simulated time it is ROS time, since a simulator may
    run at any speed (the watchdog checks that it runs at all).
    """
    return clock.now().nanoseconds if clock.ros_time_is_active else time.monotonic_ns()


class Latest:
    """The latest message of one topic. Little is computed on arrival: most messages are never used.

    Attributes: ``message``, None before the first; when it ``arrived`` [ns].
    """

    def __init__(self, node: Node, topic: str, type_: type) -> None:
        """Subscribe to ``topic``, relative to the node's namespace, for messages of ``type_``."""
        self.topic = topic
        self.message: Any = None
        self.arrived = 0
        self._intervals: deque[float] = deque(maxlen=INTERVALS)
        self._node = node
        self._clock: ROSClock = node.get_clock()
        self._source: tuple[Any, ...] | None = None
        """publisher and frames of the message"""
        self._sources: set[tuple[Any, ...]] = set()
        """all sources so far"""
        self._returns: deque[int] = deque(maxlen=RETURNS)
        """when the source changed back to an earlier one [ns]"""
        self._mixed: tuple[int, str] | None = None
        """when alternating sources were detected [ns], and their description"""
        self.endpoint = Endpoint(node, topic, ORDER_QOS if topic in ORDERS else SENSOR_QOS)
        receive = self.receive if topic in ORDERS else self._receive_from
        self._subscription = self.endpoint.make(node.create_subscription, type_, receive)
        self.on_news: Callable[[int], None] | None = None
        self.on_message: Callable[[Any], None] | None = None

    def receive(self, message: Any) -> None:
        """Keep a message that comes now."""
        arrived = arrival_time(self._clock)
        if self.message is not None:
            # The longer of both: delayed messages arrive all at once, and some drivers give them the same stamp.
            self._intervals.append(max(arrived - self.arrived, stamp_of(message) - stamp_of(self.message)) / 1e9)
        self.message, self.arrived = message, arrived
        if self.on_message is not None:
            self.on_message(message)
        if self.on_news is not None:
            self.on_news(stamp_of(message))

    def _receive_from(self, message: Any, info: dict[str, Any]) -> None:
        """A sensor's message, which must always come from the same device."""
        # Not every middleware provides the publisher of a message.
        source = (str(info.get("publisher_gid")), message.header.frame_id, getattr(message, "child_frame_id", ""))
        if source != self._source:
            if source in self._sources and self._source is not None:
                now = arrival_time(self._clock)
                self._returns.append(now)
                if len(self._returns) == RETURNS and now - self._returns[0] <= WITHIN:
                    self._mixed = now, self._describe(source, self._source)
            if len(self._sources) > MAX_SOURCES:
                self._sources.clear()
            self._sources.add(source)
            self._source = source
        self.receive(message)

    def _describe(self, *sources: tuple[Any, ...]) -> str:
        frames = sorted(" of ".join(filter(None, reversed(source[1:]))) for source in sources)
        if frames[0] != frames[1]:
            return f"devices in turn, in the frames '{frames[0]}' and '{frames[1]}'"
        return f"publishers in turn ({', '.join(self.endpoint.others())})"

    def clear(self) -> None:
        """Discard what was received."""
        self.message = self._mixed = None
        self._intervals.clear()

    def destroy(self) -> None:
        """End the subscription."""
        self._node.destroy_subscription(self._subscription)

    @property
    def interval(self) -> float | None:
        """The longest from message to message of late, None before the second [s]."""
        return max(self._intervals, default=None)

    @property
    def usual_interval(self) -> float | None:
        """The median from message to message of late, None before the second [s]."""
        return median(self._intervals) if self._intervals else None

    @property
    def hint(self) -> str:
        """A possible reason for missing messages; empty if none is known."""
        trouble = self.endpoint.trouble()
        return f"a publisher there has {trouble}, " if trouble else ""

    def since(self, now: int, arrival_now: int) -> tuple[float, float]:
        """How long ago the message was stamped, and how long ago it arrived [s]; arguments in [ns]."""
        return (now - stamp_of(self.message)) / 1e9, (arrival_now - self.arrived) / 1e9

    def require_fresh(self, now: int, arrival_now: int, timeout: int) -> None:
        """Refuse a message that is missing, too old, from the future or from alternating devices; times in [ns].

        It is too old if it arrived, or was stamped, longer ago than ``timeout``.
        """
        if self.message is None:
            raise Fault(
                Cause.MISSING, f"nothing received on {self.endpoint.topic}; {self.hint}check that it is published there"
            )
        silent = arrival_now - self.arrived
        if silent > timeout:
            raise Fault(
                Cause.STALE, f"nothing on {self.endpoint.topic} for {silent / 1e9:.2f} s; {self.hint}check the sensor"
            )
        stamped = stamp_of(self.message)
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
        if self._mixed and arrival_now - self._mixed[0] <= timeout:
            raise Fault(Cause.MIXED, f"{self.topic} comes from several {self._mixed[1]}; give each a topic of its own")

    def _require_same_time(self, now: int, stamped: int) -> None:
        """Refuse a stamp in simulated time if this node runs on wall time, and vice versa."""
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


def stamp_of(message: Any) -> int:
    """When the message was stamped [ns]."""
    stamp = message.header.stamp
    return int(stamp.sec * 1_000_000_000 + stamp.nanosec)
