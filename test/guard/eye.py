"""One sensor of a robot in random runs: rays with a time and place of their own, and messages that arrive later."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kdmarl_core.contract.sensors import LidarSensor, Sensor
from kdmarl_core.contract.sensors.base import Fan
from kdmarl_core.runtime.scan_guard import ages

if TYPE_CHECKING:
    from guard.closed_loop import Situation

STEP = 0.005
"""[s]"""
FINE = 720
"""Rays that a cone's minimum is taken of, all around."""
KINDS = ("turn's start", "turn's end", "all at once")
"""Meaning of a scan's stamp: start of the rotation, its end, or the time of all beams at once."""


class Message(NamedTuple):
    """What a sensor says."""

    reading: Any
    arrives: int
    """[steps]"""
    stamp: int
    """[steps]"""


class Eye:
    """A lidar that turns once in ``turn`` steps, or range sensors that look as often, ``ahead`` steps before others.

    Attribute ``message``: the last that has arrived, None before the first.
    """

    def __init__(self, name: str, sensor: Sensor, situation: Situation, turn: int, ahead: int) -> None:
        self.name, self._sensor, self._situation = name, sensor, situation
        self._turn, self._ahead = turn, ahead
        self._is_lidar = isinstance(sensor, LidarSensor)
        self._fans = sensor.fans or (Fan(-math.pi, 2 * math.pi / FINE, FINE),)
        angles = np.concatenate([fan.angles for fan in self._fans])
        self._read = sensor.from_rays(angles)
        self._ranges = np.zeros(angles.size, np.float32)
        self._begun: int | None = None
        self.message: Message | None = None
        self._under_way: list[Message] = []

    @property
    def reading(self) -> Any:
        """Of the last message."""
        assert self.message
        return self.message.reading

    def age(self, now: int) -> tuple[float, float]:
        """Of that, as a node can determine it, no less and no more than [s]."""
        assert self.message
        turn = self._turn * STEP if self._is_lidar else 0.0
        return ages((now - self.message.stamp) * STEP, (now - self.message.arrives) * STEP, turn)

    def listen(self, now: int) -> None:
        """Take what has arrived."""
        while self._under_way and self._under_way[0].arrives <= now:
            self.message = self._under_way.pop(0)

    def look(self, now: int, cast: Callable[[Fan, float], np.ndarray]) -> None:
        """Read the rays of this step, by ``cast``; after the last of a turn a message is under way."""
        phase = (now + self._ahead) % self._turn
        if phase == 0:
            self._begun = now
        last, beams = phase == self._turn - 1, self._ranges.size
        if self._situation.kind == "all at once" or not self._is_lidar:
            if not last:
                return
            self._read_rays(0, beams, cast)
        else:
            share = self._turn - 1 - phase if self._situation.reverse else phase
            self._read_rays(*(beams * edge // self._turn for edge in (share, share + 1)), cast)
        if last and self._begun is not None:  # a turn that was under way at the beginning says too little
            stamp = self._begun if self._situation.kind == "turn's start" and self._is_lidar else now
            self._under_way.append(Message(self._said(), now + 1 + self._situation.transport, stamp))

    def _read_rays(self, first: int, end: int, cast: Callable[[Fan, float], np.ndarray]) -> None:
        """Read rays from ``first`` to before ``end``, all of one fan or all there are, from where the robot is now."""
        begins = 0
        for fan in self._fans:
            low, high = max(first - begins, 0), min(end - begins, fan.rays)
            if high > low:
                part = fan._replace(angle_min=fan.angle_min + low * fan.angle_increment, rays=high - low)
                self._ranges[begins + low : begins + high] = cast(part, self._sensor.range + 0.2)
            begins += fan.rays

    def _said(self) -> Any:
        ranges, sensor = self._ranges.copy(), self._sensor
        if not self._is_lidar:
            nearest = self._read(ranges)
            return np.where(nearest > sensor.range, np.inf, nearest)
        ranges[ranges > sensor.range] = np.inf
        ranges[ranges < sensor.min_range] = -np.inf
        return self._read(ranges)
