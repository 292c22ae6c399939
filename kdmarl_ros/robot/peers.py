"""Where a robot and its peers are: by their odometry, by localisations' poses, or by tf."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Protocol

from nav_msgs.msg import Odometry
from rclpy.node import Node

from kdmarl_core.contract.planar import Planar
from kdmarl_core.runtime.faults import Fault
from kdmarl_ros.node.qos import SENSOR_QOS
from kdmarl_ros.node.transforms import Transforms
from kdmarl_ros.robot.latest import arrival_time
from kdmarl_ros.robot.localisation import AHEAD, ByOdometry, ByPose, Localisation
from kdmarl_ros.robot.messages import require_sane
from kdmarl_ros.sensors.base import malformed

WARNING_PERIOD = 5.0
"""Shortest time between two warnings of who is left out [s]."""


class Peers(Protocol):
    """Knows where peers are in the frame of a robot of its own."""

    def __call__(self) -> tuple[str, list[Planar]] | None:
        """The robot's frame, and the peers that are known; None while it is not known where the robot is itself."""
        ...


class _Team:
    """What both have in common: those who cannot be placed are left out, with a warning."""

    def __init__(self, node: Node, timeout: float) -> None:
        self._node, self._timeout = node, timeout

    def _warn(self, fault: Fault) -> None:
        self._node.get_logger().warning(f"left out: {fault.reason}", throttle_duration_sec=WARNING_PERIOD)


class ByTopics(_Team):
    """By the topic ``odom`` of each, in a shared frame or corrected by its topic ``pose``."""

    def __init__(
        self, node: Node, own: str, peers: Sequence[str], timeout: float, frame: str, base_frame: str, corrected: bool
    ) -> None:
        """Subscribe on behalf of ``node``.

        Args:
            node: that hears.
            own: name of this robot.
            peers: those of the others.
            timeout: age at which odometry is left out [s].
            frame: that all share; empty for that of this robot's odometry.
            base_frame: this robot's; empty for that which its odometry names.
            corrected: whether poses correct odometry.
        """
        super().__init__(node, timeout)
        self._own, self._frame, self._base_frame = own, frame, base_frame
        self._heard: dict[str, tuple[int, Odometry]] = {}
        """robot → arrival [ns] and message"""
        self._localisations: dict[str, Localisation] = {}
        for name in (own, *peers):
            self._localisations[name] = ByPose(node, f"/{name}/pose") if corrected else ByOdometry()
            node.create_subscription(Odometry, f"/{name}/odom", partial(self._hear, name), SENSOR_QOS)

    def _hear(self, name: str, message: Odometry) -> None:
        self._heard[name] = arrival_time(self._node.get_clock()), message
        localisation = self._localisations[name]
        if isinstance(localisation, ByPose):
            localisation.remember(message)

    def __call__(self) -> tuple[str, list[Planar]] | None:
        """See :class:`Peers`."""
        if self._own not in self._heard:
            return None
        mine = self._heard[self._own][1]
        frame = self._frame or mine.header.frame_id
        own = self._place(self._own, frame)
        if own is None:
            return None
        others = (self._place(name, frame) for name in self._heard if name != self._own)
        return self._base_frame or mine.child_frame_id, [own.inverse @ place for place in others if place]

    def _place(self, name: str, frame: str) -> Planar | None:
        """Where a robot is; None where that is not known, or makes no sense."""
        arrived, odometry = self._heard[name]
        now = arrival_time(self._node.get_clock())
        if now - arrived > self._timeout * 1e9:
            return None
        try:
            place = self._localisations[name](f"neighbors, robot '{name}'", frame, odometry, now)
            return require_sane(f"/{name}/odom", place)
        except Fault as fault:
            self._warn(fault)
            return None


class ByFrames(_Team):
    """By the frame of each in tf, as localisations and detectors of tags on robots publish them."""

    def __init__(self, node: Node, base_frame: str, frames: Sequence[str], timeout: float) -> None:
        """Listen to tf on behalf of ``node``.

        Args:
            node: that hears.
            base_frame: this robot's.
            frames: those of the others.
            timeout: age at which a transform is left out [s].

        Raises:
            KdmarlError: ``tf2_ros`` is not installed.
        """
        super().__init__(node, timeout)
        self._base_frame, self._frames = base_frame, frames
        self._transforms = Transforms(node)

    def __call__(self) -> tuple[str, list[Planar]] | None:
        """See :class:`Peers`; the list is empty where none of the others is seen."""
        if self._transforms.find(self._base_frame, self._base_frame)[0] is None:
            self._warn(malformed(f"tf does not know '{self._base_frame}', this robot's base_frame"))
            return None
        return self._base_frame, list(self._seen())

    def _seen(self) -> Iterator[Planar]:
        now = self._node.get_clock().now().nanoseconds
        for frame in self._frames:
            found, stamp = self._transforms.find(self._base_frame, frame)
            if found is None:
                self._warn(malformed(f"tf does not connect '{frame}' with '{self._base_frame}' ({stamp})"))
                continue
            age = (now - int(stamp)) / 1e9 if stamp else 0.0
            try:
                if age < -AHEAD:
                    raise malformed(f"tf of '{frame}' is stamped {-age:.2f} s in the future; check the clocks")
                if age <= self._timeout:
                    yield require_sane(f"tf of '{frame}'", found)
            except Fault as fault:
                self._warn(fault)
