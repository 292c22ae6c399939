"""What the main function of a node does besides its work: signals, one-sentence errors, clean shutdown."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import NoReturn

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future

from kdmarl_core.contract import KdmarlError
from kdmarl_core.contract.ros_environment import check_environment
from kdmarl_ros.node.executor import RobotExecutor
from kdmarl_ros.node.restarts import BAD_INPUT

COMPILER = "rosidl_generator_py.generate_py_impl"
"""Compiler of message definitions, used at build time. Every message would import it, with a parser and templates
(3 MB, and part of the start-up time); if it cannot be imported, messages work without it."""

LISTENERS_REST = 0.005
"""Rest of nodes that only listen, to many robots perhaps [s]."""

UDP_ONLY = ("FASTDDS_BUILTIN_TRANSPORTS", "UDPv4")
"""Fast DDS's shared memory delays a process's messages by up to 333 ms when another process starts or ends
(https://github.com/eProsima/Fast-DDS/issues/6535); no stop may be that late."""


def run(work: Callable[[], int], args: list[str] | None = None) -> int:
    """Initialise rclpy, do ``work`` and return its exit code.

    SIGINT and SIGTERM raise KeyboardInterrupt in ``work``; unless ``work`` handles it, the exit code is 0. A
    KdmarlError ends in exit code 2 with its sentence on stderr.
    """
    try:
        initialise(args)
        # Also for SIGINT: shells start background processes with SIGINT ignored.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)
        return work()
    except KdmarlError as error:
        print(error, file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        return 0
    finally:
        rclpy.try_shutdown()


def serve(make: Callable[[], Node], args: list[str] | None = None) -> int:
    """Run the node that ``make`` makes until SIGINT or SIGTERM; exit code 2 when it cannot start."""

    def work() -> int:
        with spinning(make(), LISTENERS_REST):
            while True:
                time.sleep(1)

    return run(work, args)


def leave(exit_code: int) -> NoReturn:
    """End the process, once rclpy is shut down, without destructors of libraries.

    The interpreter's own end would run the destructors of Fast DDS, of which threads may still be alive then
    (https://github.com/eProsima/Fast-DDS/issues/3561): a node that had said why it refuses to start has been seen to
    end by signal 11 instead of with its exit code. Objects in reference cycles are collected before, among them nodes:
    they leave the graph of ROS when they are freed, or are taken for alive by all others for another 20 s.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # nobody reads it any more, or it is closed
            stream.flush()
    signal.set_wakeup_fd(-1)  # its socket is closed next
    gc.collect()
    os._exit(exit_code)


def initialise(args: list[str] | None) -> None:
    """Initialise rclpy without its signal handlers, without build-time imports, and without shared memory.

    ``FASTDDS_BUILTIN_TRANSPORTS`` in the environment takes precedence.

    Raises:
        KdmarlError: the --ros-args or the environment are invalid.
    """
    check_environment(os.environ)
    os.environ.setdefault(*UDP_ONLY)
    sys.modules.setdefault(COMPILER, None)  # type: ignore[arg-type]  # an import of it fails
    try:
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    except Exception as error:  # a private type of rclpy for bad --ros-args
        reason = str(error).partition(", at ")[0]
        raise KdmarlError(f"ROS cannot start: {reason}; {_remedy(reason)}") from None


def _remedy(reason: str) -> str:
    """What to check when ROS does not start, by its error message."""
    if "parse" in reason or "argument" in reason:
        return "check the --ros-args"
    if "logging" in reason:
        return "set ROS_LOG_DIR to a folder that can be written"
    return "check the environment variables of ROS (ROS_*, RMW_*)"


@contextmanager
def spinning(node: Node, rest: float = 0.0) -> Iterator[None]:
    """Spin ``node`` in a separate thread; destroy it in the end.

    With a ``rest`` [s] by the robots' executor, for nodes whose entities no other thread destroys.
    """
    executor = RobotExecutor(rest) if rest else SingleThreadedExecutor()
    executor.add_node(node)
    ended: Future[None] = Future()

    def spin_by_one() -> None:
        while not ended.done():
            executor.spin_once(timeout_sec=0.5)

    spin = partial(executor.spin_until_future_complete, ended) if rest else spin_by_one
    thread = threading.Thread(target=spin, daemon=True)
    thread.start()
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        ended.set_result(None)
        executor.wake()
        thread.join(timeout=1.0)
        executor.shutdown(timeout_sec=0)
        node.destroy_node()
