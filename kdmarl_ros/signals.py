"""Run a node until SIGINT or SIGTERM, with the node still able to publish when they come."""

from __future__ import annotations

import signal
import socket
import threading

from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.task import Future


class StopSignal:
    """SIGINT or SIGTERM, from the moment this is made.

    Make it before ``rclpy.init(signal_handler_options=SignalHandlerOptions.NO)``: the handlers of rclpy would
    shut the context down, and the last command with it.
    """

    def __init__(self) -> None:
        """Take both signals over; the main thread only."""
        # A Python handler runs only when the executor comes back from waiting; the wake-up socket is written at once.
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)

    def spin(self, node: Node) -> None:
        """Serve the callbacks of ``node`` until a signal comes; their exceptions come through."""
        stop: Future[None] = Future()

        def wait() -> None:
            self._reader.recv(1)
            stop.set_result(None)

        threading.Thread(target=wait, daemon=True).start()
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        try:
            executor.spin_until_future_complete(stop)
        finally:
            executor.remove_node(node)
            executor.shutdown()
