"""A stand-in for ``tf2_ros``, which is not on PyPI."""

import math
import sys
import types

from geometry_msgs.msg import TransformStamped

from kdmarl_core.contract.planar import Planar


class TransformError(Exception):
    """As tf2's own."""


class Buffer:
    """As ``tf2_ros.Buffer``, for what we ask of it."""

    def __init__(self, known):
        self.known = known

    def lookup_transform(self, target, source, time):
        if target == source and any(target in pair for pair in self.known):
            return transform(Planar(), 0.0)
        if (target, source) not in self.known:
            raise TransformError(f'"{target}" passed to lookupTransform argument target_frame does not exist')
        return self.known[target, source]


def transform(place, seconds=1.0, roll=0.0):
    message = TransformStamped()
    message.header.stamp.sec, message.header.stamp.nanosec = int(seconds), int(seconds % 1 * 1e9)
    moved, turned = message.transform.translation, message.transform.rotation
    moved.x, moved.y = place.x, place.y
    sin, cos = math.sin(place.yaw / 2), math.cos(place.yaw / 2)
    turned.w, turned.z = cos * math.cos(roll / 2), sin * math.cos(roll / 2)
    turned.x, turned.y = cos * math.sin(roll / 2), sin * math.sin(roll / 2)
    return message


def tf_stand_in(monkeypatch):
    """Put it where ``tf2_ros`` is looked for; what its buffers know, (target, source) → transform."""
    known = {}
    stand_in = types.ModuleType("tf2_ros")
    stand_in.Buffer, stand_in.TransformException = lambda: Buffer(known), TransformError
    stand_in.TransformListener = lambda buffer, node, spin_thread: None
    monkeypatch.setitem(sys.modules, "tf2_ros", stand_in)
    return known
