"""An executor for the nodes of robots: like rclpy's, without the work that it repeats for every message.

rclpy's executor collects all entities of its nodes before each wait, and wakes itself after each callback to do so
again. This one collects them only when entities have been created or destroyed, and handles everything that is ready
after a wait, which halves the CPU time of a robot's process. It uses private parts of rclpy: those of rclpy 9 (Kilted),
with which it is tested, and which also exist in 7.1 (Jazzy), with which it has not been tried.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from typing import Any

from rclpy.exceptions import InvalidHandle
from rclpy.executors import SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.logging import get_logger
from rclpy.subscription import Subscription
from rclpy.task import Future, Task


class RobotExecutor(SingleThreadedExecutor):
    """Runs the callbacks of nodes with subscriptions, timers, services and events, all in the spinning thread.

    Messages come before timers, so that a control cycle sees the newest; a timer that a message's callback triggers
    follows at once. Callback groups are ignored, since callbacks never overlap; callbacks must not be coroutines. A
    service request whose callback raises is dropped, since anyone may send one; other exceptions propagate.
    """

    def __init__(self, rest: float = 0.0, **options: Any) -> None:
        """Make it, without nodes.

        Args:
            rest: after handling what is ready [s]: the next wait finds more at once, at less cost for each message.
            options: as for :class:`rclpy.executors.SingleThreadedExecutor`.
        """
        super().__init__(**options)
        self._rest = rest
        self._changed = True

    def wake(self) -> None:
        """End the wait; nodes call this when entities are created or destroyed."""
        self._changed = True
        super().wake()

    def spin_until_future_complete(self, future: Future[Any], timeout_sec: float | None = None) -> None:
        """Run callbacks until ``future`` is done; their exceptions propagate, except those of services."""
        if timeout_sec is not None:
            raise NotImplementedError("timeout_sec is not supported")
        future.add_done_callback(lambda _: self.wake())
        while self._context.ok() and not future.done():
            if self._changed:
                self._changed = False
                self._gather()
            self._wait()
            self._serve()
            if self._rest:
                time.sleep(self._rest)

    def _gather(self) -> None:
        """Collect the entities of all nodes, by their pointers in the wait set."""
        nodes = self.get_nodes()
        self._subscriptions = {one.handle.pointer: one for node in nodes for one in node.subscriptions}
        self._timers = {one.handle.pointer: one for node in nodes for one in node.timers}
        self._services = {one.handle.pointer: one for node in nodes for one in node.services}
        self._events = [one for node in nodes for one in node.waitables]
        counts = (len(self._subscriptions), 1, len(self._timers), 0, len(self._services), len(self._events))
        self._wait_set = rclpy_implementation.WaitSet(*counts, self._context.handle)

    def _wait(self) -> None:
        wait_set = self._wait_set
        wait_set.clear_entities()
        for subscription in self._subscriptions.values():
            wait_set.add_subscription(subscription.handle)
        for timer in self._timers.values():
            wait_set.add_timer(timer.handle)
        for service in self._services.values():
            wait_set.add_service(service.handle)
        for event in self._events:
            event.add_to_wait_set(wait_set)
        wait_set.add_guard_condition(self._guard.handle)
        wait_set.wait(-1)

    def _serve(self) -> None:
        """Handle what is ready; entities that an earlier callback has destroyed are skipped."""
        wait_set = self._wait_set
        events = [event for event in self._events if event.is_ready(wait_set)]
        services = wait_set.get_ready_entities("service")
        for pointer in wait_set.get_ready_entities("subscription"):
            _handle(self._take_message, self._subscriptions[pointer])
        for pointer in services:
            _handle(self._take_request, self._services[pointer])
        # Includes timers that a message has triggered, without another wait; new messages are handled before them.
        if any(map(_is_due, self._timers.values())):
            for subscription in self._subscriptions.values():
                _handle(self._take_message, subscription)
        for timer in self._timers.values():
            _handle(self._take_call, timer)
        for event in events:
            _handle(self._take_event, event)

    def _take_event(self, event: Any) -> Callable[[], Any]:
        task = Task(event.execute, (event.take_data(),), executor=self)

        def run() -> None:
            task()
            task.result()

        return run

    @staticmethod
    def _take_message(subscription: Subscription) -> Callable[[], Any] | None:
        with subscription.handle:
            taken = subscription.handle.take_message(subscription.msg_type, subscription.raw)
        if taken is None:
            return None
        message_only = subscription._callback_type is Subscription.CallbackType.MessageOnly
        return lambda: subscription.callback(*(taken[:1] if message_only else taken))

    @staticmethod
    def _take_request(service: Any) -> Callable[[], Any] | None:
        with service.handle:
            request, header = service.handle.service_take_request(service.srv_type.Request)
        if header is None:
            return None

        def answer() -> None:
            try:
                service.send_response(service.callback(request, service.srv_type.Response()), header)
            except InvalidHandle:  # the callback has destroyed it
                return
            except Exception:
                get_logger("executor").error(
                    f"a request to {service.service_name} was dropped: {traceback.format_exc()}"
                )

        return answer

    @staticmethod
    def _take_call(timer: Any) -> Callable[[], Any] | None:
        with timer.handle:
            if not timer.handle.is_timer_ready():  # cancelled or reset since
                return None
            timer.handle.call_timer()
        return timer.callback


def _is_due(timer: Any) -> bool:
    try:
        with timer.handle:
            return bool(timer.handle.is_timer_ready())
    except InvalidHandle:  # an earlier callback has destroyed it
        return False


def _handle(take: Callable[[Any], Callable[[], Any] | None], entity: Any) -> None:
    """Take what is ready of ``entity`` and run its callback."""
    try:
        do = take(entity)
    except InvalidHandle:  # an earlier callback has destroyed it
        return
    if do is not None:
        do()
