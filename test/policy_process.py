"""The policy node of one robot as a process."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from node_process import python_process, ros_arguments
from support import ROBOT_TYPES

NODE = ("-m", "kdmarl_ros.robot.policy_node")

TIMEOUT, PERIOD = 0.3, 0.1
SLACK = 0.1
"""for the scheduling of two busy processes [s]"""


@contextmanager
def policy_process(
    policy: Path | str, robot_type: str = "scout", program: tuple[str, str] = NODE, **parameters: object
) -> Iterator[subprocess.Popen[str]]:
    """A policy node in namespace /r1 with autostart and a goal, unless ``parameters`` say otherwise.

    ``program`` are the arguments of Python that run it.
    """
    defaults: dict[str, object] = {
        "__ns": "/r1",
        "policy": policy,
        "robot_type": robot_type,
        "robot_types": ROBOT_TYPES,
        "goal": [2.0, 4.0],
        "sensor_timeout": TIMEOUT,
        "autostart": True,
    }
    with python_process([*program, *ros_arguments(defaults | parameters)]) as process:
        yield process
