"""Run nodes until a termination signal; the nodes can still publish when it arrives."""

from __future__ import annotations

import signal
import socket
import threading

from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.task import Future

from kdmarl_ros.node.executor import RobotExecutor

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""Signals that terminate a node: Ctrl-C, kill, closing of the terminal, Ctrl-\\."""


class StopSignal:
    """Catches the first of ``STOPS`` after its creation; SIGHUP stays ignored if it was, as under nohup.

    Create it before ``rclpy.init(signal_handler_options=SignalHandlerOptions.NO)``: the handlers of rclpy would
    shut down the context, so that the last command could not be published.
    """

    def __init__(self) -> None:
        """Install signal handlers; in the main thread only."""
        # A Python handler runs only when the executor returns from waiting; the wake-up socket is written at once.
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
        """Wait for a signal for at most ``seconds``; returns whether one has arrived."""
        return self._came.wait(seconds)

    def spin(self, *nodes: Node, executor: SingleThreadedExecutor | None = None) -> None:
        """Run the callbacks of ``nodes`` in this thread until a signal arrives; their exceptions propagate."""
        executor = executor or RobotExecutor()
        for node in nodes:
            executor.add_node(node)
        try:
            executor.spin_until_future_complete(self._future)
        finally:
            for node in nodes:
                executor.remove_node(node)
            executor.shutdown()
