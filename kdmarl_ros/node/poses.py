"""Poses in the plane as messages."""

from __future__ import annotations

import math

from geometry_msgs.msg import Point, Pose, Quaternion

from kdmarl_core.contract.planar import Planar


def to_pose(place: Planar) -> Pose:
    """The message of a pose."""
    turned = Quaternion(z=math.sin(place.yaw / 2), w=math.cos(place.yaw / 2))
    return Pose(position=Point(x=float(place.x), y=float(place.y)), orientation=turned)
