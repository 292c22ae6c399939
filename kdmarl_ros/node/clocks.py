"""Who says the time in a ROS domain."""

from __future__ import annotations

import time

import rclpy
from rclpy.context import Context
from rclpy.node import Node
from rclpy.topic_endpoint_info import TopicEndpointInfo

DISCOVERY = 1.5
"""Time in which nodes find each other [s]."""
UNKNOWN = "NODE_NAME_UNKNOWN"
"""In what ROS calls a node whose name has not come yet."""


def clock_publishers(wait: float = DISCOVERY) -> list[str]:
    """Full names of the nodes that publish ``/clock``, after a wait [s]."""
    context = Context()
    rclpy.init(args=[], context=context)
    try:
        node = Node("clock_finder", context=context, use_global_arguments=False, start_parameter_services=False)
        deadline = time.monotonic() + wait
        found: list[TopicEndpointInfo] = []
        while time.monotonic() < deadline and not (found and all(map(_is_named, found))):
            time.sleep(0.05)
            found = node.get_publishers_info_by_topic("/clock")
        node.destroy_node()
        return sorted({_full_name(info) for info in found})
    finally:
        context.shutdown()


def _is_named(info: TopicEndpointInfo) -> bool:
    """Whether the node's name has come, which is said later than that it publishes."""
    return UNKNOWN not in info.node_name


def _full_name(info: TopicEndpointInfo) -> str:
    return f"{info.node_namespace.rstrip('/')}/{info.node_name}" if _is_named(info) else "a node"
