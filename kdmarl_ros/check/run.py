"""The whole check of one robot: from its swarm file to an exit code."""

from __future__ import annotations

import time
from pathlib import Path

import rclpy
from rclpy.node import Node
from rclpy.parameter import Parameter
from rich.console import Console

from kdmarl_core.doctor.show import show
from kdmarl_ros.check.checks import look
from kdmarl_ros.node.process import initialise, spinning
from kdmarl_ros.swarm.plan import load_checked_swarm, remappings, rules


def check(
    file: Path, robot: str, seconds: float, picture: Path | None, wheels_up: bool, sim_time: bool, allow_outside: bool
) -> int:
    """Print a finding for each thing looked at; 1 if one fails, else 0.

    Args:
        file: swarm file.
        robot: name.
        seconds: how long to listen.
        picture: file for a picture of the scan (.png); None for none.
        wheels_up: whether the wheels may be turned.
        sim_time: whether time comes from ``/clock``.
        allow_outside: as in :func:`~kdmarl_core.contract.load_swarm`.

    Raises:
        KdmarlError: the swarm file or the robot is not good, or ROS cannot start.
    """
    swarm = load_checked_swarm(file, [robot], allow_outside)
    initialise(["--ros-args", *rules(remappings(swarm, swarm.robots))])
    try:
        clock = Parameter("use_sim_time", value=sim_time)
        node = Node("check", namespace=f"/{robot}", parameter_overrides=[clock])
        with spinning(node):
            return show(
                Console(soft_wrap=True, highlight=False), look(node, swarm, seconds, picture, wheels_up, time.sleep)
            )
    finally:
        rclpy.try_shutdown()
