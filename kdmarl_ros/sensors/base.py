"""What is asked of the messages of a sensor."""

from __future__ import annotations

import array
from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar, Protocol

import numpy as np

from kdmarl_core.contract.sensors.base import Mounting
from kdmarl_core.runtime.faults import Cause, Fault
from kdmarl_core.runtime.scan_guard import ages

MAX_INVALID = 0.5
"""Share of a robot's distances that may be invalid in one cycle; beyond it, it is as good as blind."""

SAME_SIGHT = 0.999
"""Share of the range that a policy was trained for which a sensor has to have: drivers round."""

FIRST_TURN = 0.5
"""Taken for a lidar's time of one turn [s] where nothing says it yet; the robot still stands then."""


class Heard(Protocol):
    """The latest message of one topic, as :class:`~kdmarl_ros.robot.latest.Latest` keeps it."""

    message: Any

    @property
    def interval(self) -> float | None:
        """The longest from message to message of late, None before the second [s]."""

    @property
    def usual_interval(self) -> float | None:
        """The median from message to message of late, None before the second [s]."""

    def since(self, now: int, arrival_now: int) -> tuple[float, float]:
        """How long ago the message was stamped, and how long ago it arrived [s]; arguments in [ns]."""
        ...


class SensorTopics:
    """Base of sensors' messages: those of one robot's sensor as its node hears them, and how the simulator's are made.

    All must have a header with the time and the frame of what they say.
    """

    topics: ClassVar[tuple[str, ...]]
    """of as many as a robot can have; the first starts control cycles"""
    kind: ClassVar[type]
    """of the messages"""

    @classmethod
    def needed(cls, term: Any) -> tuple[str, ...]:
        """The first of ``topics``, as many as a term needs; all, unless a subclass overrides this."""
        return cls.topics

    # In the node: messages received

    def __init__(
        self, terms: Sequence[Any], heard: Sequence[Heard], sensor: Any, names: Sequence[str] | None = None
    ) -> None:
        """Make readings for the ``terms`` of a policy that are of this ``sensor``, which is as the robot type has it.

        ``heard`` are the topics that the terms need, in order, and ``names`` theirs.
        """
        self.heard, self.sensor, self.names = heard, sensor, names or self.topics[: len(heard)]
        self.sight = max(float(term.range) for term in terms)
        """how far the sensor has to see [m]"""

    @cached_property
    def mountings(self) -> list[Mounting]:
        """Where what speaks on each topic sits and looks, as the robot type has it."""
        return [self.sensor.place]

    def read(self) -> Any:
        """The reading that the latest messages give.

        Raises:
            Fault: one is not such as the policy may see.
        """
        raise NotImplementedError

    def ages(self, now: int, arrival_now: int, timeout: float) -> list[tuple[float, float]]:
        """How old the latest messages' readings are, no less and no more than [s]; these are all of one moment.

        Args:
            now: ROS time [ns].
            arrival_now: on the clock of arrivals [ns].
            timeout: age at which a message is refused [s].
        """
        return [ages(*latest.since(now, arrival_now), turn=0.0) for latest in self.heard]

    # In the simulator: messages published

    @classmethod
    def messages(cls, sensor: Any, prefix: str, period: float) -> list[Any]:
        """One for each topic, with all that never changes.

        Args:
            sensor: as the robot type has it.
            prefix: what the names of frames begin with.
            period: from message to message [s].
        """
        raise NotImplementedError

    @classmethod
    def fill(cls, sensor: Any, messages: list[Any], measured: np.ndarray) -> None:
        """Put what a ``sensor`` has measured, (values,) float32, into its ``messages``."""
        raise NotImplementedError

    @classmethod
    def example(cls) -> Any:
        """A message of a sensor with nothing near, but for stamp and frame."""
        raise NotImplementedError


def turn_heard(heard: Heard, timeout: float) -> float:
    """A lidar's time of one turn as its messages come [s], or at the first a guess of at most ``timeout`` [s]."""
    return min(timeout, FIRST_TURN) if heard.interval is None else heard.interval


def require_sight(topic: str, farthest: float, sight: float) -> None:
    """See that what comes on ``topic`` sees ``farthest`` [m] where ``sight`` is needed.

    Raises:
        Fault: it sees less far.
    """
    if not farthest >= sight * SAME_SIGHT:  # NaN as well
        raise malformed(
            f"{topic} sees {farthest:g} m far, the policy was trained to see {sight:g} m; set the sensor's greatest "
            "range in its driver, or give a policy that was trained for this sensor"
        )


def malformed(reason: str) -> Fault:
    """What refuses a message."""
    return Fault(Cause.MALFORMED, reason)


def float_array(values: np.ndarray) -> array.array[float]:
    """Float32 values as messages keep them; they would check a numpy array value by value."""
    return array.array("f", values.tobytes())
