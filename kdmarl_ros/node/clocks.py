"""Who says the time in a ROS domain."""

from __future__ import annotations

import time

import rclpy
from rclpy.context import Context
from rclpy.node import Node
from rclpy.topic_endpoint_info import TopicEndpointInfo

DISCOVERY = 1.5
"""Time in which nodes find each other [s]."""


def clock_publishers(wait: float = DISCOVERY) -> list[str]:
    """Full names of the nodes that publish ``/clock``, after a wait [s]."""
    context = Context()
    rclpy.init(context=context)
    try:
        node = Node("clock_finder", context=context, use_global_arguments=False, start_parameter_services=False)
        deadline = time.monotonic() + wait
        found: list[TopicEndpointInfo] = []
        while not found and time.monotonic() < deadline:
            time.sleep(0.05)
            found = node.get_publishers_info_by_topic("/clock")
        node.destroy_node()
        return sorted({f"{info.node_namespace.rstrip('/')}/{info.node_name}" for info in found})
    finally:
        context.shutdown()
