"""Where a robot is in the frame of its goal: by its odometry alone, or by a localisation that corrects it.

A localisation is slow and may jump; odometry is fast and smooth, and drifts. So what is kept of a localisation is where
the frame of the odometry lies in its own frame, and the robot's pose is always the newest odometry, put there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from geometry_msgs.msg import PoseWithCovarianceStamped
from nav_msgs.msg import Odometry
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile

from kdmarl_core.contract.planar import Planar
from kdmarl_core.contract.sensors.base import Mounting
from kdmarl_core.runtime.faults import Cause, Fault
from kdmarl_ros.node.qos import ORDER_QOS, Endpoint
from kdmarl_ros.node.transforms import Transforms
from kdmarl_ros.robot.latest import stamp_of
from kdmarl_ros.robot.messages import require_sane, same_frame, yaw_of
from kdmarl_ros.sensors.base import malformed
from kdmarl_ros.sensors.point_cloud import OPTICAL

SOURCES = ("odom", "pose", "tf")
"""Values of the parameter ``pose_source``."""

JUMP = (0.5, 0.5)
"""A correction that changes by more from one control cycle to the next is a jump [m, rad]."""

LONGEST_WAY = 2.0
"""That a robot may drive without a new pose [m]."""

SAME_PLACE = (0.02, 0.035)
"""Differences of a sensor's mounting that are only rounding [m, rad]."""

AHEAD = 2.0
"""How far a transform may be stamped ahead [s]: localisations date theirs ahead, AMCL by up to a second."""

SAME_MOMENT = 0.2
"""Longest time from a pose to the odometry that it is joined with [s]; poses that are older are left out."""

REMEMBERED = 5.0
"""How long odometry is kept, for poses that come late [s]."""


class Localisation(Protocol):
    """Corrects odometry."""

    def __call__(self, topic: str, frame: str, odometry: Odometry, now: int) -> Planar:
        """The robot's pose in ``frame``, in which ``topic`` says where to go.

        Args:
            topic: for errors.
            frame: that it is wanted in.
            odometry: the newest.
            now: ROS time [ns].

        Raises:
            Fault: it is not known, or has jumped.
        """
        ...

    def destroy(self) -> None:
        """End its subscriptions."""
        ...


class ByOdometry:
    """Odometry is in the frame of the goals."""

    def __call__(self, topic: str, frame: str, odometry: Odometry, now: int) -> Planar:
        """See :class:`Localisation`."""
        same_frame(topic, frame, odometry.header.frame_id, "odom")
        return pose_of(odometry)

    def destroy(self) -> None:
        """Nothing to end."""


class _Corrected:
    """What localisations have in common."""

    def __init__(self) -> None:
        self._last: tuple[str, Planar] | None = None
        """frame and correction of the cycle before"""

    def _put(self, frame: str, correction: Planar, odometry: Odometry) -> Planar:
        """Apply a correction, unless it has jumped since the cycle before."""
        last, self._last = self._last, (frame, correction)
        pose = correction @ pose_of(odometry)
        if last and last[0] == frame:
            moved, turned = pose.differs(last[1] @ pose_of(odometry))
            if moved > JUMP[0] or turned > JUMP[1]:
                raise Fault(
                    Cause.POSE_JUMPED,
                    f"the pose in '{frame}' jumped by {moved:.2f} m and {turned:.2f} rad; the robot drives on from "
                    "there; check the localisation if that happens again",
                )
        return pose


class ByPose(_Corrected):
    """By ``geometry_msgs/PoseWithCovarianceStamped`` on the topic ``pose``, as AMCL publishes on ``amcl_pose``."""

    def __init__(self, node: Node, topic: str = "pose") -> None:
        """Subscribe to ``topic`` on behalf of ``node``."""
        super().__init__()
        self._node = node
        self._endpoint = Endpoint(node, topic, ORDER_QOS)
        # AMCL says where the robot is when that changes; who comes later hears it only like this.
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._subscriptions = [
            self._endpoint.make(node.create_subscription, PoseWithCovarianceStamped, self.hear),
            node.create_subscription(
                PoseWithCovarianceStamped,
                topic,
                self.hear,
                latched,
                event_callbacks=SubscriptionEventCallbacks(use_default_callbacks=False),
            ),
        ]
        self._odometry: deque[tuple[int, Planar]] = deque()
        """stamp [ns] and pose"""
        self._waiting: PoseWithCovarianceStamped | None = None
        """a message that came before any odometry"""
        self._newest: PoseWithCovarianceStamped | None = None
        self._found: tuple[str, Planar] | None = None
        """frame and correction of the newest message that could be joined"""
        self._trouble: Fault | None = None
        """what is wrong with the newest message"""
        self._way = 0.0
        """driven since [m]"""

    def destroy(self) -> None:
        """End the subscriptions."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def remember(self, odometry: Odometry) -> None:
        """Note each message of the odometry, unless it makes no sense, which is reported where it is used."""
        try:
            pose, stamp = require_sane("odom", pose_of(odometry)), stamp_of(odometry)
        except Fault:
            return
        if self._odometry:
            before, last = self._odometry[-1]
            moved, turned = pose.differs(last)
            if stamp < before or moved > JUMP[0] or turned > JUMP[1]:
                # It began again: where its frame is now, only the next pose tells.
                self._odometry.clear()
                self._found = None
            self._way += moved
        self._odometry.append((stamp, pose))
        while self._odometry[0][0] < stamp - REMEMBERED * 1e9:
            self._odometry.popleft()
        if self._waiting is not None:
            self._join(self._waiting)

    def hear(self, message: PoseWithCovarianceStamped) -> None:
        """Note a pose."""
        if message != self._newest:  # both subscriptions may bring it
            self._newest = message
            self._join(message)

    def _join(self, message: PoseWithCovarianceStamped) -> None:
        """Find where the frame of odometry lies, by the odometry at the time of a pose."""
        self._waiting = None if self._odometry else message
        if self._waiting is not None:
            return
        try:
            pose, self._trouble = require_sane("pose", _planar(message.pose.pose, "pose")), None
        except Fault as fault:
            self._trouble = fault
            return
        stamp = stamp_of(message)
        nearest = min(self._odometry, key=lambda each: abs(each[0] - stamp))
        # The first pose may be old: a localisation such as AMCL is silent while its robot stands.
        if self._found is None or abs(nearest[0] - stamp) <= SAME_MOMENT * 1e9:
            self._found = message.header.frame_id, pose @ nearest[1].inverse
            self._way = self._odometry[-1][1].differs(nearest[1])[0]

    def __call__(self, topic: str, frame: str, odometry: Odometry, now: int) -> Planar:
        """See :class:`Localisation`."""
        if self._trouble is not None:
            raise Fault(self._trouble.cause, self._trouble.reason)
        if self._found is None:
            trouble = self._endpoint.trouble()
            hint = f"a publisher there has {trouble}, " if trouble else ""
            raise Fault(
                Cause.MISSING, f"nothing received on {self._endpoint.topic}; {hint}check that the localisation runs"
            )
        same_frame(topic, frame, self._found[0], "pose")
        if self._way > LONGEST_WAY:
            raise Fault(
                Cause.STALE,
                f"no pose on {self._endpoint.topic} for {self._way:.1f} m of driving, at most {LONGEST_WAY:g} m are "
                "driven without; check the localisation",
            )
        return self._put(frame, self._found[1], odometry)


class ByTransforms(_Corrected):
    """By tf, in any frame that it connects with that of the odometry."""

    def __init__(self, transforms: Transforms, timeout: float) -> None:
        """Look up in ``transforms``; those older than ``timeout`` [s] are stale."""
        super().__init__()
        self._transforms, self._timeout = transforms, timeout
        self._agreed: set[tuple[str, str, str]] = set()
        """topics, and frames of robot and sensor, for which tf and the robot type say the same"""

    def destroy(self) -> None:
        """The transforms belong to the node."""

    def check_mounting(self, topic: str, base: str, frame: str, mounting: Mounting) -> None:
        """See that tf knows no other mounting of a sensor than the robot type says.

        Args:
            topic: of the sensor, for errors.
            base: the robot's frame.
            frame: the sensor's.
            mounting: in the robot type.

        Raises:
            Fault: it does.
        """
        if (topic, base, frame) in self._agreed or OPTICAL in frame:
            return
        found, upside_down = self._transforms.mounted(base, frame)
        if found is None:  # not yet, or never; the robot type is all there is
            return
        away, turned = found.differs(Planar(mounting.x, mounting.y, mounting.yaw))
        if away > SAME_PLACE[0] or turned > SAME_PLACE[1] or upside_down != mounting.upside_down:
            raise malformed(
                f"{topic}: tf has '{frame}' at {_written(found, upside_down)} of '{base}', the robot type has the "
                f"sensor's mounting at {_written(mounting, mounting.upside_down)}; correct one of both, "
                "or give each sensor a frame of its own"
            )
        self._agreed.add((topic, base, frame))

    def __call__(self, topic: str, frame: str, odometry: Odometry, now: int) -> Planar:
        """See :class:`Localisation`."""
        if not frame:
            raise Fault(Cause.MALFORMED, f"{topic} names no frame; give one that tf knows")
        own = odometry.header.frame_id
        if frame == own:
            return pose_of(odometry)
        found, stamp = self._transforms.find(frame, own)
        if found is None:
            raise Fault(Cause.MISSING, f"tf does not connect '{frame}', in which {topic} is, with '{own}' ({stamp})")
        age = (now - int(stamp)) / 1e9
        if age < -AHEAD and int(stamp):
            raise Fault(
                Cause.FUTURE,
                f"tf from '{frame}' to '{own}' was stamped {-age:.2f} s in the future; check that the clocks agree",
            )
        if age > self._timeout and int(stamp):  # 0: all of them are static
            raise Fault(
                Cause.STALE,
                f"tf from '{frame}' to '{own}' is {age:.2f} s old; check the localisation and that the clocks agree",
            )
        return self._put(frame, found, odometry)


def localisation(source: str, node: Node, transforms: Callable[[], Transforms], timeout: float) -> Localisation:
    """That of a value of the parameter ``pose_source``.

    Args:
        source: one of ``SOURCES``.
        node: the robot's.
        transforms: makes the node's access to tf.
        timeout: age at which an input is stale [s].

    Raises:
        KdmarlError: ``tf2_ros`` is not installed.
    """
    if source == "tf":
        return ByTransforms(transforms(), timeout)
    return ByPose(node) if source == "pose" else ByOdometry()


def _written(place: Planar | Mounting, upside_down: bool) -> str:
    return f"x {place.x:.3f} m, y {place.y:.3f} m, yaw {place.yaw:.3f} rad" + (", upside down" if upside_down else "")


def pose_of(odometry: Odometry) -> Planar:
    """The pose of a message that has been checked."""
    return _planar(odometry.pose.pose, "odom")


def _planar(pose: Any, what: str) -> Planar:
    return Planar(pose.position.x, pose.position.y, yaw_of(pose.orientation, what))
