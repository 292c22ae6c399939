"""Nodes in separate processes, and a client in this process to talk to them."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from domain import take_domain

DOMAIN = take_domain()
"""ROS domain reserved for this test process."""

# Under nohup, processes would inherit that SIGHUP is ignored; a handler is not inherited.
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)

EXTRA: dict[str, str] = {}
"""Environment of the processes that are started while it holds something."""

_NUMBERS = itertools.count(1)


@contextmanager
def node_process(
    module: str, output: IO[str] | None = None, /, **parameters: object
) -> Iterator[subprocess.Popen[str]]:
    """Run ``python -m kdmarl_ros.<module>`` with ``parameters``; kill it in the end if it still runs.

    Names that begin with two underscores are remappings, such as ``__ns``. Its output goes to ``output``, else to a
    pipe, which blocks after 64 KiB until it is read.
    """
    with module_process(module, ros_arguments(parameters), output) as process:
        yield process


def ros_arguments(parameters: dict[str, object]) -> list[str]:
    """Command-line arguments for ``parameters``; see :func:`node_process`."""
    arguments = [
        item
        for name, value in parameters.items()
        for item in ("-r" if name[:2] == "__" else "-p", f"{name}:={_text(value)}")
    ]
    return ["--ros-args", *arguments]


@contextmanager
def module_process(module: str, arguments: list[str], output: IO[str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """Run ``python -m kdmarl_ros.<module>`` with ``arguments``; the rest as for :func:`node_process`."""
    with python_process(["-m", f"kdmarl_ros.{module}", *arguments], output) as process:
        yield process


@contextmanager
def python_process(arguments: list[str], output: IO[str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """Run Python with ``arguments``, in the environment with ``EXTRA``; the rest as for :func:`node_process`."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        env={
            **os.environ,
            "ROS_DOMAIN_ID": str(DOMAIN),
            "PYTHONUNBUFFERED": "1",
            **EXTRA,
        },
        stdout=output or subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        with suppress(ValueError):  # read already
            said = process.communicate()[0]
            if output is None:
                print(said)  # pytest shows it when the test fails


def _text(value: object) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(repr(item) for item in value) + "]"
    return str(value).lower() if isinstance(value, bool) else str(value)


class Client:
    """A node in this process that records the messages that it receives."""

    def __init__(self) -> None:
        if not rclpy.ok():
            # One context for all tests: nodes of several contexts one after the other make rcl crash.
            rclpy.init(domain_id=DOMAIN)
        self.node = Node(f"client_{next(_NUMBERS)}")
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self.heard: list[tuple[str, object]] = []
        """topic and message, in the order of arrival"""

    def listen(self, kind: type, topic: str, qos: object) -> None:
        """Record the messages on ``topic``."""
        self.node.create_subscription(kind, topic, lambda message: self.heard.append((topic, message)), qos)

    def on(self, topic: str) -> list:
        """Messages on ``topic`` so far."""
        return [message for heard, message in self.heard if heard == topic]

    def until(self, condition: Callable[[], object], timeout: float = 20.0) -> bool:
        """Spin until ``condition`` holds; False if it does not within ``timeout`` [s]."""
        end = time.monotonic() + timeout
        while not condition():
            left = end - time.monotonic()
            if left < 0:
                return False
            self._executor.spin_once(timeout_sec=min(left, 0.05))
        return True

    def spin(self, seconds: float) -> None:
        """Spin for a time [s]."""
        self.until(lambda: False, seconds)

    def close(self) -> None:
        """End it."""
        self._executor.remove_node(self.node)
        self.node.destroy_node()
        self._executor.shutdown()
