"""Run nodes until a signal asks for the end, with the nodes still able to publish when they come."""

from __future__ import annotations

import signal
import socket
import threading

from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.task import Future

from kdmarl_ros.node.executor import RobotExecutor

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""Signals that ask a node to end: Ctrl-C, kill, the terminal's end, Ctrl-\\."""


class StopSignal:
    """The first of ``STOPS``, from the moment this is made; SIGHUP not where it was ignored, as under nohup.

    Make it before ``rclpy.init(signal_handler_options=SignalHandlerOptions.NO)``: the handlers of rclpy would
    shut the context down, and the last command with it.
    """

    def __init__(self) -> None:
        """Take the signals over; the main thread only."""
        # A Python handler runs only when the executor comes back from waiting; the wake-up socket is written at once.
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in STOPS:
            if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, lambda *_: None)
        self._came = threading.Event()
        self._future: Future[None] = Future()
        """wakes executors"""
        threading.Thread(target=self._receive, daemon=True).start()

    def _receive(self) -> None:
        self._reader.recv(1)
        self._came.set()
        self._future.set_result(None)

    def wait(self, seconds: float) -> bool:
        """Wait for a signal for at most ``seconds``; whether one has come."""
        return self._came.wait(seconds)

    def spin(self, *nodes: Node, executor: SingleThreadedExecutor | None = None) -> None:
        """Serve the callbacks of ``nodes`` in this thread until a signal comes; their exceptions come through."""
        executor = executor or RobotExecutor()
        for node in nodes:
            executor.add_node(node)
        try:
            executor.spin_until_future_complete(self._future)
        finally:
            for node in nodes:
                executor.remove_node(node)
            executor.shutdown()
