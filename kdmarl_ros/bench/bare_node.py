"""A minimal rclpy node with a robot's messages, as the baseline of ``kdmarl-swarm bench``."""

from __future__ import annotations

import sys
from typing import Any

import onnxruntime
import rclpy
from geometry_msgs.msg import PoseStamped, Twist
from nav_msgs.msg import Odometry
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.utilities import remove_ros_args
from sensor_msgs.msg import LaserScan

from kdmarl_ros.node.process import initialise
from kdmarl_ros.node.qos import ORDER_QOS, SENSOR_QOS
from kdmarl_ros.node.signals import StopSignal


class BareNode(Node):
    """Subscribes to the topics of a robot with a lidar and a goal, and answers every scan with an empty command."""

    def __init__(self, robot: str, policy: str = "") -> None:
        """Create the topics in the namespace ``robot``, and open a session of the file ``policy``, if any."""
        super().__init__("bare", namespace=f"/{robot}")
        self._latest: dict[type, Any] = {}
        self._command = Twist()
        self._session = onnxruntime.InferenceSession(policy) if policy else None
        self._publisher = self.create_publisher(Twist, "cmd_vel", ORDER_QOS)
        self.create_subscription(Odometry, "odom", self._keep, SENSOR_QOS)
        self.create_subscription(PoseStamped, "goal_pose", self._keep, ORDER_QOS)
        self.create_subscription(LaserScan, "scan", self._answer, SENSOR_QOS)

    def _keep(self, message: Any) -> None:
        self._latest[type(message)] = message

    def _answer(self, scan: LaserScan) -> None:
        self._keep(scan)
        self._publisher.publish(self._command)


def main(args: list[str] | None = None) -> int:
    """Run a bare node; ``args`` (as ``sys.argv``) are the robot's name and optionally a policy file."""
    stop = StopSignal()
    initialise(args)
    stop.spin(BareNode(*remove_ros_args(args)[1:]), executor=SingleThreadedExecutor())
    rclpy.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
