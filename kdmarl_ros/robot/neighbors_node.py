"""Tells one robot where the others are, by their own poses: for policies with neighbours. One node for each robot."""

from __future__ import annotations

import math
import time
from functools import partial
from typing import Any, NoReturn

from geometry_msgs.msg import PoseArray, PoseWithCovarianceStamped
from nav_msgs.msg import Odometry
from rclpy.node import Node

from kdmarl_core.contract import KdmarlError
from kdmarl_core.contract.planar import Planar
from kdmarl_core.runtime.faults import Fault
from kdmarl_ros.node.parameters import read_names, read_parameter, refuse_unknown
from kdmarl_ros.node.poses import to_pose
from kdmarl_ros.node.process import leave, run, spinning
from kdmarl_ros.node.qos import SENSOR_QOS
from kdmarl_ros.robot.latest import arrival_time
from kdmarl_ros.robot.messages import require_sane, yaw_of

KINDS: dict[str, type] = {"odom": Odometry, "pose": PoseWithCovarianceStamped}


class NeighborsNode(Node):
    """Hears where this robot and its peers are, and publishes those that are near on ``neighbors``.

    Peers only, no coordinator. Who has not been heard of for a while, or is in another frame, is left out.
    """

    def __init__(self) -> None:
        """Read the parameters and subscribe.

        Raises:
            KdmarlError: a parameter does not fit.
        """
        super().__init__("neighbors")
        peers = read_names(self, "peers", "names of the other robots")
        source = read_parameter(self, "source", "odom", "topic of every robot with its pose: odom or pose")
        self._range = read_parameter(self, "range", 4.0, "farther peers are left out [m]", (0.1, 1e6))
        self._timeout = read_parameter(self, "timeout", 0.5, "age at which a pose is left out [s]", (0.05, 60.0))
        period = read_parameter(self, "period", 0.1, "from message to message [s]", (0.01, 10.0))
        self._base_frame = read_parameter(
            self, "base_frame", "", "this robot's frame; that of its odometry if empty, which source 'pose' has not"
        )
        refuse_unknown(self, [f"/{name}/{source}" for name in peers], ["neighbors"])
        own = self.get_namespace().strip("/")
        if source not in KINDS:
            raise KdmarlError(f"parameter 'source' is '{source}'; give odom or pose")
        if not own or own in peers:
            raise KdmarlError(f"node {self.get_fully_qualified_name()}: run it in its robot's namespace, among others")
        if source == "pose" and not self._base_frame:
            raise KdmarlError("parameter 'base_frame' is empty; source 'pose' needs it, such as base_link")
        self._own = own
        self._heard: dict[str, tuple[int, Any]] = {}
        """robot → arrival [ns] and message"""
        for name in (own, *peers):
            hear = partial(self._hear, name)
            self.create_subscription(KINDS[source], f"/{name}/{source}", hear, SENSOR_QOS)
        self._publisher = self.create_publisher(PoseArray, "neighbors", SENSOR_QOS)
        self.create_timer(period, self._tell)

    def _hear(self, name: str, message: Any) -> None:
        self._heard[name] = arrival_time(self.get_clock()), message

    def _tell(self) -> None:
        """Publish where the others are; nothing while it is not known where this robot is."""
        own = self._place(self._own)
        if own is None:
            return
        message = PoseArray()
        mine = self._heard[self._own][1]
        message.header.stamp = self.get_clock().now().to_msg()
        message.header.frame_id = self._base_frame or mine.child_frame_id
        for name, (_, theirs) in self._heard.items():
            if name == self._own or theirs.header.frame_id != mine.header.frame_id:
                continue
            place = self._place(name)
            if place is None:
                continue
            seen = own.inverse @ place
            if math.hypot(seen.x, seen.y) <= self._range:
                message.poses.append(to_pose(seen))
        self._publisher.publish(message)

    def _place(self, name: str) -> Planar | None:
        """Where a robot is; None where that is not known, or makes no sense."""
        if name not in self._heard:
            return None
        arrived, message = self._heard[name]
        if arrival_time(self.get_clock()) - arrived > self._timeout * 1e9:
            return None
        pose = message.pose.pose
        try:
            return require_sane(name, Planar(pose.position.x, pose.position.y, yaw_of(pose.orientation, name)))
        except Fault as fault:
            self.get_logger().warning(f"left out: {fault.reason}", throttle_duration_sec=5.0)
            return None


def main(args: list[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM; exit code 2 when it cannot start."""

    def work() -> int:
        with spinning(NeighborsNode()):
            while True:
                time.sleep(1)

    return run(work, args)


def command() -> NoReturn:
    """The console script: :func:`main`, then the end of the process."""
    leave(main())


if __name__ == "__main__":
    command()
