"""What runs on one host of a :class:`lan.Lan`: policy nodes, and the bodies that they drive.

``python host.py SECONDS BODIES NODES`` in JSON: robot → topics that its body gives here, and names of robots whose
nodes run here. Prints one line of JSON: for each robot that drives here the times of its commands, and the times at
which each robot's diagnostics were heard here (steady clock, which all hosts of one machine share) [s].
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import ExitStack
from subprocess import STDOUT, Popen

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor

from robot_body import RobotBody
from support import REPOSITORY


def main(seconds: float, bodies: dict[str, list[str]], nodes: list[str]) -> None:
    """Run it for so long, from the first command of the first robot on."""
    rclpy.init()
    robots = {name: RobotBody(namespace=f"/{name}", topics=tuple(topics)) for name, topics in bodies.items()}
    heard: dict[str, list[float]] = {}
    watch = rclpy.create_node("watch")
    watch.create_subscription(
        DiagnosticArray,
        "/diagnostics",
        lambda message: heard.setdefault(message.status[0].hardware_id, []).append(time.monotonic()),
        10,
    )
    executor = SingleThreadedExecutor()
    for node in (watch, *(robot.node for robot in robots.values())):
        executor.add_node(node)
    with ExitStack() as stack:
        for name in nodes:
            stack.callback(_start(name).kill)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            executor.spin_once(timeout_sec=0.05)
    driven = {name: [at for at, *speeds in robots[name].commands if any(speeds)] for name in nodes}
    stops = {name: [at for at, *_ in robots[name].stops()] for name in nodes}
    print(json.dumps({"driven": driven, "stops": stops, "heard": heard}), flush=True)


def _start(name: str) -> Popen[bytes]:
    parameters = {
        "policy": REPOSITORY / "models/navigation_scout.onnx",
        "robot_type": "scout",
        "robot_types": REPOSITORY / "config/robots.yaml",
        "goal": "[2.0, 4.0]",
        "autostart": "true",
    }
    arguments = [item for key, value in parameters.items() for item in ("-p", f"{key}:={value}")]
    command = [sys.executable, "-m", "kdmarl_ros.robot.policy_node", "--ros-args", "-r", f"__ns:=/{name}", *arguments]
    return Popen(command, env={**os.environ, "PYTHONUNBUFFERED": "1"}, stdout=sys.stderr, stderr=STDOUT)


if __name__ == "__main__":
    main(float(sys.argv[1]), json.loads(sys.argv[2]), json.loads(sys.argv[3]))
