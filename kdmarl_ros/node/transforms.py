"""Access to tf, where ``tf2_ros`` is installed: ROS distributions have it, PyPI does not."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from rclpy.node import Node
from rclpy.time import Time

from kdmarl_core.contract import KdmarlError
from kdmarl_core.contract.planar import Planar, yaw_of_rotation


class Transforms:
    """The transforms that a node hears. It publishes none."""

    def __init__(self, node: Node) -> None:
        """Listen to ``/tf`` and ``/tf_static``.

        Raises:
            KdmarlError: ``tf2_ros`` is not installed.
        """
        try:
            tf2_ros = import_module("tf2_ros")
        except ModuleNotFoundError as error:
            raise KdmarlError(
                f"tf2_ros cannot be imported ({error}), which the source 'tf' needs; install it with your ROS "
                "distribution (apt install ros-$ROS_DISTRO-tf2-ros-py), or give 'pose' or 'odom'"
            ) from None
        self._errors: type[Exception] = tf2_ros.TransformException
        self._buffer: Any = tf2_ros.Buffer()  # of a node it would offer a service
        self._listener: Any = tf2_ros.TransformListener(self._buffer, node, spin_thread=False)

    def find(self, target: str, source: str) -> tuple[Planar, int] | tuple[None, str]:
        """The newest transform from ``source`` to ``target`` in the plane, and its stamp [ns], 0 if it is static.

        None, and why, where there is none.
        """
        try:
            found = self._buffer.lookup_transform(target, source, Time())
        except self._errors as error:
            return None, str(error)
        return _planar(found.transform), Time.from_msg(found.header.stamp).nanoseconds

    def mounted(self, base: str, sensor: str) -> tuple[Planar, bool] | tuple[None, bool]:
        """Where the frame ``sensor`` is in that of the robot, and whether its z axis points down; None if unknown."""
        try:
            transform = self._buffer.lookup_transform(base, sensor, Time()).transform
        except self._errors:
            return None, False
        turned = transform.rotation
        return _planar(transform), turned.x * turned.x + turned.y * turned.y > 0.5


def _planar(transform: Any) -> Planar:
    moved, turned = transform.translation, transform.rotation
    return Planar(moved.x, moved.y, yaw_of_rotation(turned.w, turned.x, turned.y, turned.z))
