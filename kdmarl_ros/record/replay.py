"""Drives a policy over a recording: what would it have commanded, and where does that differ from what was?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from rclpy.time import Time

from kdmarl_core.contract import KdmarlError, Swarm
from kdmarl_core.runtime import Controller, Policy
from kdmarl_core.runtime.controller import SENSOR_SOONEST, SENSOR_SPACING
from kdmarl_core.runtime.faults import Fault
from kdmarl_core.runtime.safety import UnsafeCommandError
from kdmarl_ros.node.qos import type_name
from kdmarl_ros.record.bag import read
from kdmarl_ros.record.topics import wanted
from kdmarl_ros.robot.first_orders import first_orders_of
from kdmarl_ros.robot.inputs import Inputs
from kdmarl_ros.robot.latest import YEAR, stamp_of
from kdmarl_ros.robot.localisation import localisation

TOGETHER = 1_000_000
"""Time within which messages that are sent together arrive [ns]."""


class Row(NamedTuple):
    """One control cycle of the recording."""

    time: float
    """since the first message [s]"""
    recorded: tuple[float, float, float] | None
    """the last command before the next cycle: forward, to the left [m/s], yaw rate [rad/s]; None before the first"""
    replayed: tuple[float, float, float] | None
    """what the policy commands; None where its inputs do not let it drive"""
    reason: str
    """why they do not"""

    @property
    def difference(self) -> float:
        """Of the two, as a distance; 0 where one of them is missing."""
        if self.recorded is None or self.replayed is None:
            return 0.0
        return float(np.hypot.reduce(np.subtract(self.recorded, self.replayed)))


def replay(bag: Path, swarm: Swarm, policy: Path | None, scan_guard: bool, node: Node) -> Iterator[Row]:
    """Drive over a recording of a robot, cycle by cycle, on the clock of its stamps.

    Args:
        bag: MCAP file.
        swarm: with that robot only.
        policy: other policy file than the swarm file's.
        scan_guard: whether commands go through the guard.
        node: in the robot's namespace, with simulated time, which nobody spins.

    Raises:
        KdmarlError: the recording or the policy does not fit, or lacks a topic.
    """
    (robot,) = swarm.robots
    given = swarm.parameters(robot)
    on_sensor = given.trigger == "sensor"
    controller = Controller(
        Policy.load(policy or swarm.policies[robot.type]),
        robot.type,
        swarm.robot_types[robot.type],
        scan_guard,
        SENSOR_SPACING if on_sensor else 1.0,
    )
    if given.pose_source == "tf":
        raise KdmarlError(f"{swarm.path}: robot '{robot.name}' takes its pose from tf, which is not recorded; use pose")

    def localise() -> Any:
        return localisation(given.pose_source, node, _no_transforms, given.sensor_timeout)

    orders = first_orders_of(swarm, robot)
    inputs = Inputs(node, controller.terms, controller.sensors, given.sensor_timeout, orders, localise)
    known = {name: topic for name, topic in wanted(swarm, controller.terms).items() if topic.robot}
    missing = {name for name, topic in known.items() if topic.topic in inputs.topics - orders.keys()}
    first = last = row = None
    cycles = _Cycles(round(controller.period * 1e9), on_sensor)
    for message in read(bag):
        first = message.time if first is None else first
        topic = known.get(message.topic)
        # In simulated time much happens at once: a cycle sees what comes at its time, and is before its command.
        is_command = topic is not None and topic.topic == "cmd_vel"
        for due in cycles.until(message.time if is_command else message.time - 1):
            if row is not None:
                yield row._replace(recorded=last)
            row = _cycle(controller, inputs, node, due, first)
        kind = next((kind for kind in topic.kinds if type_name(kind) == message.kind), None) if topic else None
        if topic is None or kind is None:
            continue
        _set_clock(node, message.time)
        missing.discard(message.topic)
        content = deserialize_message(message.data, kind)
        if hasattr(content, "header") and 0 < stamp_of(content) < YEAR <= message.time:
            raise KdmarlError(
                f"{bag}: {message.topic} was recorded on wall time and is stamped in simulated time; record with "
                "'ros2 bag record --use-sim-time'"
            )
        if is_command:
            twist = getattr(content, "twist", content)
            last = twist.linear.x, twist.linear.y, twist.angular.z
        else:
            inputs.take(topic.topic, content)
            if topic.topic == inputs.leading:
                cycles.hear(message.time)
    if row is not None:
        yield row._replace(recorded=last)
    if missing:
        names = ", ".join(sorted(missing))
        raise KdmarlError(f"{bag} has no messages on {names}, which {controller.policy.path} needs")


class _Cycles:
    """When a node would have had its control cycles."""

    def __init__(self, period: int, on_sensor: bool) -> None:
        """At whole multiples of ``period`` [ns], or after each message of a sensor, within bounds."""
        self._period, self._on_sensor = period, on_sensor
        self._longest = round(SENSOR_SPACING * period) if on_sensor else period
        self._due: int | None = None
        self._last = 0

    def until(self, time: int) -> Iterator[int]:
        """Those up to ``time``, each [ns]."""
        if self._due is None:
            self._due = (time // self._period + 1) * self._period
        while self._due <= time:
            self._last = self._due
            yield self._due
            self._due += self._longest

    def hear(self, time: int) -> None:
        """A message of the sensor came at ``time`` [ns], with those of others that are sent together."""
        if self._on_sensor and self._due and time - self._last >= SENSOR_SOONEST * self._period:
            self._due = min(self._due, time + TOGETHER)


def _cycle(controller: Controller, inputs: Inputs, node: Node, now: int, first: int) -> Row:
    """One control cycle at ``now`` of a recording that begins at ``first`` [ns]; what was recorded is yet to come."""
    _set_clock(node, now)
    time = (now - first) / 1e9
    try:
        command = controller(inputs.readings(now, now))
    except (Fault, UnsafeCommandError, KdmarlError) as error:
        controller.reset()
        return Row(time, None, None, str(error))
    return Row(time, None, controller.motion(tuple(command.tolist())), "")


def _set_clock(node: Node, time: int) -> None:
    node.get_clock().set_ros_time_override(Time(nanoseconds=time, clock_type=node.get_clock().clock_type))


def _no_transforms() -> Any:
    raise KdmarlError("recordings hold no tf")


def summary(rows: list[Row]) -> list[str]:
    """What to print of a replay, line by line."""
    driven = [row for row in rows if row.replayed is not None]
    both = [row for row in driven if row.recorded is not None]
    lines = [f"{len(rows)} control cycles, {len(driven)} of which the policy drives"]
    reasons = Counter(row.reason for row in rows if row.reason)
    lines += [f"{count} x {reason}" for reason, count in reasons.most_common(5)]
    if both:
        differences = np.array([row.difference for row in both])
        worst = both[int(differences.argmax())]
        lines.append(
            f"difference from the recorded commands [m/s, rad/s]: median {np.median(differences):.3f}, "
            f"largest {differences.max():.3f} after {worst.time:.1f} s"
        )
    return lines
