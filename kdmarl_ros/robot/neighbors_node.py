"""Tells one robot where the others are: for policies with neighbours. One node for each robot, no coordinator."""

from __future__ import annotations

import math
from typing import NoReturn

from geometry_msgs.msg import PoseArray
from rclpy.node import Node

from kdmarl_core.contract import KdmarlError
from kdmarl_ros.node.parameters import read_names, read_parameter, refuse_unknown
from kdmarl_ros.node.poses import to_pose
from kdmarl_ros.node.process import leave, serve
from kdmarl_ros.node.qos import SENSOR_QOS
from kdmarl_ros.robot.localisation import SOURCES
from kdmarl_ros.robot.peers import ByFrames, ByTopics, Peers

MAP = "map"
"""Frame that localisations say where robots are in, unless another is given."""


class NeighborsNode(Node):
    """Hears where this robot and its peers are, and publishes those that are near on ``neighbors``.

    Who has not been heard of for a while, or is in another frame, is left out.
    """

    def __init__(self) -> None:
        """Read the parameters and subscribe.

        Raises:
            KdmarlError: a parameter does not fit.
        """
        super().__init__("neighbors")
        names = read_names(self, "peers", "names of the other robots")
        source = read_parameter(self, "source", "odom", f"where robots are: {', '.join(SOURCES)}")
        self._range = read_parameter(self, "range", 4.0, "farther peers are left out [m]", (0.1, 1e6))
        timeout = read_parameter(self, "timeout", 0.5, "age at which a pose is left out [s]", (0.05, 60.0))
        period = read_parameter(self, "period", 0.1, "from message to message [s]", (0.01, 10.0))
        frame = read_parameter(
            self, "frame", "", f"that the robots share; if empty, '{MAP}' for poses, and that of its own odometry else"
        )
        base_frame = read_parameter(
            self, "base_frame", "", "this robot's frame; that of its odometry if empty, which source 'tf' has not"
        )
        frames = read_names(self, "frames", "of source 'tf': frames of the others; <robot>/base_link if empty")
        refuse_unknown(self, [f"/{name}/{topic}" for name in names for topic in ("odom", "pose")], ["neighbors"])
        own = self.get_namespace().strip("/")
        if source not in SOURCES:
            raise KdmarlError(f"parameter 'source' is '{source}'; give {', '.join(SOURCES[:-1])} or {SOURCES[-1]}")
        if not own or own in names:
            raise KdmarlError(f"node {self.get_fully_qualified_name()}: run it in its robot's namespace, among others")
        self._peers: Peers
        if source == "tf":
            if not base_frame:
                raise KdmarlError("parameter 'base_frame' is empty; source 'tf' needs it, such as base_link")
            frames = frames or [f"{name}/base_link" for name in names]
            self._peers = ByFrames(self, base_frame, frames, timeout)
        else:
            by_pose = source == "pose"
            frame = frame or (MAP if by_pose else "")
            self._peers = ByTopics(self, own, names, timeout, frame, base_frame, by_pose)
        self._publisher = self.create_publisher(PoseArray, "neighbors", SENSOR_QOS)
        self.create_timer(period, self._tell)

    def _tell(self) -> None:
        """Publish where the others are; nothing while it is not known where this robot is."""
        found = self._peers()
        if found is None:
            return
        message = PoseArray()
        message.header.stamp = self.get_clock().now().to_msg()
        message.header.frame_id, places = found
        message.poses = [to_pose(place) for place in places if math.hypot(place.x, place.y) <= self._range]
        self._publisher.publish(message)


def main(args: list[str] | None = None) -> int:
    """See :func:`~kdmarl_ros.node.process.serve`."""
    return serve(NeighborsNode, args)


def command() -> NoReturn:
    """The console script: :func:`main`, then the end of the process."""
    leave(main())


if __name__ == "__main__":
    command()
