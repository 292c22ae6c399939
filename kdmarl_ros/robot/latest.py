"""The latest message of one topic, and whether it can be trusted."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

from rclpy.clock import ROSClock
from rclpy.node import Node

from kdmarl_core.runtime.faults import Cause, Fault
from kdmarl_ros.node.qos import ORDER_QOS, SENSOR_QOS, Endpoint

FUTURE_TOLERANCE = 200_000_000
"""How far a stamp may lie ahead of our clock [ns]: clocks of two hosts never agree fully."""

YEAR = 365 * 24 * 3600 * 1_000_000_000
"""[ns]; simulated time begins at zero, and wall time is decades later."""

RETURNS, WITHIN = 3, 600_000_000
"""So many changes of who speaks on a topic, back to one who has spoken before, within so long [ns] are several that
speak in turn. A device that is started again, or says another frame for a while, changes once or twice."""

MAX_SOURCES = 16
"""Of one topic that are remembered."""

ORDERS = {"goal_pose": "a goal", "targets": "targets"}
"""Topics that say where to go, and what they give: not measured, so they never go stale."""


def arrival_time(clock: ROSClock) -> int:
    """Now, on the clock that ages are measured on [ns].

    That is the steady clock, which no one can set; with simulated time it is ROS time, since a simulator may
    run at any speed (the watchdog sees to it that it runs at all).
    """
    return clock.now().nanoseconds if clock.ros_time_is_active else time.monotonic_ns()


class Latest:
    """The latest message of one topic. Little is computed here: most messages are never looked at.

    Attributes: ``message``, None before the first; when it ``arrived`` [ns]; ``interval`` from the one before, None
    before the second [s].
    """

    def __init__(self, node: Node, topic: str, type_: type) -> None:
        """Subscribe to ``topic``, relative to the node's namespace, for messages of ``type_``."""
        self.topic = topic
        self.message: Any = None
        self.arrived = 0
        self.interval: float | None = None
        self._node = node
        self._clock: ROSClock = node.get_clock()
        self._source: tuple[Any, ...] | None = None
        """who sent the message, and of what frame"""
        self._sources: set[tuple[Any, ...]] = set()
        """all that have been heard"""
        self._returns: deque[int] = deque(maxlen=RETURNS)
        """when one came back after another [ns]"""
        self._mixed: tuple[int, str] | None = None
        """when two were heard in turn [ns], and what they are"""
        self.endpoint = Endpoint(node, topic, ORDER_QOS if topic in ORDERS else SENSOR_QOS)
        receive = self._receive if topic in ORDERS else self._receive_from
        self._subscription = self.endpoint.make(node.create_subscription, type_, receive)
        self.on_news: Callable[[], None] | None = None

    def _receive(self, message: Any) -> None:
        arrived = arrival_time(self._clock)
        if self.message is not None:
            # The longer of both: messages that were held up come all at once, and some drivers stamp them alike.
            self.interval = max(arrived - self.arrived, _stamp(message) - _stamp(self.message)) / 1e9
        self.message, self.arrived = message, arrived
        if self.on_news is not None:
            self.on_news()

    def _receive_from(self, message: Any, info: dict[str, Any]) -> None:
        """A sensor's message, which must always come from one device."""
        # Not every middleware tells who sent a message.
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
        self._receive(message)

    def _describe(self, *sources: tuple[Any, ...]) -> str:
        frames = sorted(" of ".join(filter(None, reversed(source[1:]))) for source in sources)
        if frames[0] != frames[1]:
            return f"devices in turn, in the frames '{frames[0]}' and '{frames[1]}'"
        return f"publishers in turn ({', '.join(self.endpoint.others())})"

    def clear(self) -> None:
        """Forget what was received."""
        self.message = self.interval = self._mixed = None

    def destroy(self) -> None:
        """End the subscription."""
        self._node.destroy_subscription(self._subscription)

    @property
    def hint(self) -> str:
        """What may be the reason when nothing comes; empty if nothing is known of it."""
        trouble = self.endpoint.trouble()
        return f"a publisher there has {trouble}, " if trouble else ""

    def since(self, now: int, arrival_now: int) -> tuple[float, float]:
        """How long ago the message was stamped, and how long ago it arrived [s]; arguments in [ns]."""
        return (now - _stamp(self.message)) / 1e9, (arrival_now - self.arrived) / 1e9

    def require_fresh(self, now: int, arrival_now: int, timeout: int) -> None:
        """Refuse a message that is missing, too old, from the future or of several devices in turn; times in [ns].

        Too old is one that arrived, or was stamped, longer ago than ``timeout``.
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
        stamped = _stamp(self.message)
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


def _stamp(message: Any) -> int:
    """When the message was stamped [ns]."""
    stamp = message.header.stamp
    return int(stamp.sec * 1_000_000_000 + stamp.nanosec)
