"""Messages to arrays, refusing what a policy must not see."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from geometry_msgs.msg import Point, PoseArray, PoseStamped, Quaternion
from nav_msgs.msg import Odometry
from sensor_msgs.msg import LaserScan, Range

from kdmarl_core.contract import Scan
from kdmarl_core.contract.spaces import LARGEST
from kdmarl_core.runtime.faults import Cause, Fault

MAX_INVALID = 0.5
"""Share of a robot's distances that may be invalid in one cycle; beyond it, it is as good as blind."""


MAX_BEAMS = 10_000
"""Beams of one scan, and ..."""
MAX_POSES = 1_000
"""... poses of one message: more would take longer than a control cycle may."""


SAME_SIGHT = 0.999
"""Share of the range that a policy was trained for which a sensor has to have: drivers round."""


class Motion(NamedTuple):
    """Where a robot is and how it moves."""

    x: float
    """[m]"""
    y: float
    """[m]"""
    yaw: float
    """[rad]"""
    speed: float
    """forward [m/s]"""
    yaw_rate: float
    """[rad/s]"""


def to_scan(message: LaserScan, sight: float = 0.0) -> Scan:
    """A scan whose ``ranges`` share the message's memory.

    Args:
        message: of the lidar.
        sight: how far it has to see [m].

    Raises:
        Fault: it has too many beams, its limits make no sense, it sees less far, or too many beams are invalid.
    """
    ranges = np.frombuffer(message.ranges, np.float32)
    if ranges.size > MAX_BEAMS:
        raise _malformed(f"scan has {ranges.size} beams, at most {MAX_BEAMS} are taken; thin it out in the driver")
    if not 0 <= message.range_min < message.range_max:  # NaN as well; a range_max of inf is one that nobody knows
        raise _malformed(
            f"scan has range_min {message.range_min:g} and range_max {message.range_max:g} m; "
            "set 0 <= range_min < range_max in the lidar driver"
        )
    _require_sight("scan", message.range_max, sight)
    # inf (nothing seen) is valid and -inf (too close) too; NaN and distances below range_min say nothing.
    valid = np.count_nonzero(ranges >= message.range_min) + np.count_nonzero(ranges == -np.inf)
    if ranges.size - valid > MAX_INVALID * ranges.size:
        raise _malformed(f"{ranges.size - valid} of {ranges.size} beams of scan are invalid; check the lidar")
    return Scan(ranges, message.angle_min, message.angle_increment, message.range_min, message.range_max)


def turn_time(message: LaserScan, interval: float) -> float:
    """From a scan's first beam to its last [s].

    Args:
        message: that may say so by ``time_increment``, or by ``scan_time``, which is no less.
        interval: from the scan before [s], for a message that says neither.
    """
    said = message.time_increment * (len(message.ranges) - 1)
    return next((time for time in (said, message.scan_time) if time > 0), interval)


def to_ranges(messages: list[Range], sight: float = 0.0) -> np.ndarray:
    """Distances of single sensors, (sensors,) float32 [m].

    What lies beyond ``max_range`` is inf, nothing seen. What lies below ``min_range`` is -inf, too near to measure,
    unless it is 0: sensors that have failed to measure say that, which reads as NaN.

    Args:
        messages: one of each sensor.
        sight: how far each has to see [m].

    Raises:
        Fault: one sees less far, or too many say nothing.
    """
    for index, message in enumerate(messages):
        _require_sight(f"range_{index}", message.max_range, sight)
    ranges, nearest, farthest = np.array(
        [(message.range, message.min_range, message.max_range) for message in messages], np.float32
    ).T
    failed = (ranges <= 0) & (ranges < nearest) & (ranges != -np.inf)
    ranges = np.where(ranges < nearest, np.where(failed, np.nan, -np.inf), np.where(ranges > farthest, np.inf, ranges))
    invalid = int(np.isnan(ranges).sum())
    if invalid > MAX_INVALID * ranges.size:
        raise _malformed(f"{invalid} of {ranges.size} range sensors give NaN, or 0 below their min_range; check them")
    return ranges.astype(np.float32)


def _require_sight(topic: str, farthest: float, sight: float) -> None:
    if not farthest >= sight * SAME_SIGHT:  # NaN as well
        raise _malformed(
            f"{topic} sees {farthest:g} m far, the policy was trained to see {sight:g} m; set the sensor's greatest "
            "range in its driver, or give a policy that was trained for this sensor"
        )


def to_motion(message: Odometry) -> Motion:
    """Planar pose and velocity.

    Raises:
        Fault: a number is not finite or beyond ``LARGEST``, or the orientation is no rotation.
    """
    position, twist = message.pose.pose.position, message.twist.twist
    motion = Motion(
        position.x, position.y, _yaw(message.pose.pose.orientation, "odom"), twist.linear.x, twist.angular.z
    )
    if not all(map(_is_sane, motion)):
        raise _malformed(f"odom holds {motion}, which is not finite or beyond {LARGEST:g}; check the odometry")
    return motion


def to_goal(goal: PoseStamped, odometry: Odometry, motion: Motion) -> np.ndarray:
    """Position of the goal in the robot frame, (2,) float32 [m].

    Raises:
        Fault: it is not finite, or is given in another frame than the odometry.
    """
    _same_frame("goal_pose", goal.header.frame_id, odometry.header.frame_id)
    return np.array(_in_robot_frame("goal_pose", goal.pose.position, motion), np.float32)


def to_targets(targets: PoseArray, odometry: Odometry, motion: Motion) -> np.ndarray:
    """Positions of the places to cover in the robot frame, (targets, 2) float32 [m].

    Raises:
        Fault: there is none, or too many, one is not finite, or they are given in another frame than the odometry.
    """
    if not targets.poses:
        raise Fault(Cause.NO_GOAL, "targets holds no place; the robot stands until one is given")
    _not_too_many("targets", targets)
    _same_frame("targets", targets.header.frame_id, odometry.header.frame_id)
    return np.array([_in_robot_frame("targets", pose.position, motion) for pose in targets.poses], np.float32)


def _not_too_many(topic: str, message: PoseArray) -> None:
    if len(message.poses) > MAX_POSES:
        raise _malformed(f"{topic} holds {len(message.poses)} poses, at most {MAX_POSES} are taken; give fewer")


def _same_frame(topic: str, frame: str, odometry_frame: str) -> None:
    if frame != odometry_frame:
        raise _malformed(f"{topic} is in frame '{frame}', odom is in '{odometry_frame}'; give it in the frame of odom")


def _in_robot_frame(topic: str, place: Point, motion: Motion) -> tuple[float, float]:
    """A place in the frame of the odometry as x forward, y left of the robot [m]."""
    if not (_is_sane(place.x) and _is_sane(place.y)):
        raise _malformed(
            f"{topic} holds [{place.x}, {place.y}], which is not finite or beyond {LARGEST:g}; give finite metres"
        )
    dx, dy = place.x - motion.x, place.y - motion.y
    cos, sin = math.cos(motion.yaw), math.sin(motion.yaw)
    return cos * dx + sin * dy, cos * dy - sin * dx


def to_neighbors(message: PoseArray, base_frame: str | None) -> np.ndarray:
    """Poses of other robots, (robots, 3) float32 x, y [m], yaw [rad].

    Raises:
        Fault: they are not in the robot's frame, not finite, or too many.
    """
    if base_frame is not None and message.header.frame_id != base_frame:
        raise _malformed(
            f"neighbors is in frame '{message.header.frame_id}'; give the poses in the robot's frame '{base_frame}'"
        )
    _not_too_many("neighbors", message)
    rows = [(pose.position.x, pose.position.y, _yaw(pose.orientation, "neighbors")) for pose in message.poses]
    poses = np.array(rows).reshape(-1, 3)
    if not (np.abs(poses) <= LARGEST).all():  # NaN as well
        raise _malformed(f"neighbors holds a pose that is not finite or beyond {LARGEST:g} m; leave unknown robots out")
    return poses.astype(np.float32)


def _is_sane(number: float) -> bool:
    return abs(number) <= LARGEST  # NaN is not


def _yaw(q: Quaternion, what: str) -> float:
    norm = q.w * q.w + q.x * q.x + q.y * q.y + q.z * q.z
    if not 0.9 < norm < 1.1:  # NaN as well
        raise _malformed(f"{what} has an orientation of squared norm {norm:g}; it must be a unit quaternion")
    return math.atan2(2 * (q.w * q.z + q.x * q.y), 1 - 2 * (q.y * q.y + q.z * q.z))


def _malformed(reason: str) -> Fault:
    return Fault(Cause.MALFORMED, reason)
