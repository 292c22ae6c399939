"""Messages to arrays, refusing what a policy must not see."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from geometry_msgs.msg import Point, PoseArray, PoseStamped, Quaternion
from nav_msgs.msg import Odometry

from kdmarl_core.contract.bounds import LARGEST
from kdmarl_core.contract.planar import Planar, yaw_of_rotation
from kdmarl_core.runtime.faults import Cause, Fault
from kdmarl_ros.sensors.base import malformed

MAX_POSES = 1_000
"""Poses of one message: more would take longer than a control cycle may."""


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
    left: float = 0.0
    """speed to the left, where that was asked for [m/s]"""


def to_motion(message: Odometry, sideways: bool = False) -> Motion:
    """Planar pose and velocity; the speed to the left is read only if it moves ``sideways``, else it is 0.

    Raises:
        Fault: a number is not finite or beyond ``LARGEST``, or the orientation is no rotation.
    """
    position, twist = message.pose.pose.position, message.twist.twist
    motion = Motion(
        position.x,
        position.y,
        yaw_of(message.pose.pose.orientation, "odom"),
        twist.linear.x,
        twist.angular.z,
        twist.linear.y if sideways else 0.0,
    )
    if not all(map(_is_sane, motion)):
        raise malformed(f"odom holds {motion}, which is not finite or beyond {LARGEST:g}; check the odometry")
    return motion


def to_goal(goal: PoseStamped, robot: Planar) -> np.ndarray:
    """Position of the goal in the robot frame, (2,) float32 [m], by the robot's pose in the goal's frame.

    Raises:
        Fault: it is not finite.
    """
    return np.array(_in_robot_frame("goal_pose", goal.pose.position, robot), np.float32)


def to_targets(targets: PoseArray, robot: Planar) -> np.ndarray:
    """Positions of the places to cover in the robot frame, (targets, 2) float32 [m], by its pose in their frame.

    Raises:
        Fault: there is none, or too many, or one is not finite.
    """
    if not targets.poses:
        raise Fault(Cause.NO_GOAL, "targets holds no place; the robot stands until one is given")
    _not_too_many("targets", targets)
    return np.array([_in_robot_frame("targets", pose.position, robot) for pose in targets.poses], np.float32)


def _not_too_many(topic: str, message: PoseArray) -> None:
    if len(message.poses) > MAX_POSES:
        raise malformed(f"{topic} holds {len(message.poses)} poses, at most {MAX_POSES} are taken; give fewer")


def same_frame(topic: str, frame: str, robot_frame: str, source: str) -> None:
    """See that where to go and where the robot is, by the topic ``source``, are in one frame.

    Raises:
        Fault: they are not.
    """
    if frame != robot_frame:
        raise malformed(
            f"{topic} is in frame '{frame}', {source} is in '{robot_frame}'; give it in the frame of {source}"
        )


def _in_robot_frame(topic: str, place: Point, motion: Planar) -> tuple[float, float]:
    """A place as x forward, y left of the robot [m]."""
    if not (_is_sane(place.x) and _is_sane(place.y)):
        raise malformed(
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
        raise malformed(
            f"neighbors is in frame '{message.header.frame_id}'; give the poses in the robot's frame '{base_frame}'"
        )
    _not_too_many("neighbors", message)
    rows = [(pose.position.x, pose.position.y, yaw_of(pose.orientation, "neighbors")) for pose in message.poses]
    poses = np.array(rows).reshape(-1, 3)
    if not (np.abs(poses) <= LARGEST).all():  # NaN as well
        raise malformed(f"neighbors holds a pose that is not finite or beyond {LARGEST:g} m; leave unknown robots out")
    return poses.astype(np.float32)


def _is_sane(number: float) -> bool:
    return abs(number) <= LARGEST  # NaN is not


def require_sane(what: str, pose: Planar) -> Planar:
    """The pose.

    Raises:
        Fault: a number is not finite or beyond ``LARGEST``.
    """
    if not all(map(_is_sane, pose)):
        raise malformed(f"{what} holds {pose}, which is not finite or beyond {LARGEST:g}; check the localisation")
    return pose


def yaw_of(q: Quaternion, what: str) -> float:
    """Of an orientation [rad].

    Raises:
        Fault: it is not a unit quaternion.
    """
    norm = q.w * q.w + q.x * q.x + q.y * q.y + q.z * q.z
    if not 0.9 < norm < 1.1:  # NaN as well
        raise malformed(f"{what} has an orientation of squared norm {norm:g}; it must be a unit quaternion")
    return yaw_of_rotation(q.w, q.x, q.y, q.z)
