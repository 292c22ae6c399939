"""The executor of robots: everything is served, what comes and goes while it spins too."""

import threading
import time

import pytest
from geometry_msgs.msg import Twist
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.node import Node
from rclpy.task import Future
from std_srvs.srv import Trigger

from kdmarl_ros.node.executor import RobotExecutor
from node_process import Client


@pytest.fixture
def client():
    client = Client()
    yield client
    client.close()


@pytest.fixture
def node(client):
    node = Node("served")
    yield node
    node.destroy_node()


def serve(node, seconds=5.0, future=None):
    """Spin ``node`` until ``future`` is done, by whoever, or time is up; the time it took [s]."""
    future = future or Future()
    executor = RobotExecutor()
    executor.add_node(node)
    timer = threading.Timer(seconds, lambda: future.done() or future.set_result(None))
    timer.start()
    start = time.monotonic()
    try:
        executor.spin_until_future_complete(future)
        return time.monotonic() - start
    finally:
        timer.cancel()
        executor.remove_node(node)
        executor.shutdown()


def test_a_future_that_another_thread_completes_ends_it(node):
    assert serve(node, 0.3) == pytest.approx(0.3, abs=0.2)


def test_timers_that_come_and_go_in_callbacks(node):
    done, calls = Future(), []

    def first():
        calls.append("first")
        node.destroy_timer(timers.pop())
        timers.append(node.create_timer(0.02, second))

    def second():
        calls.append("second")
        if len(calls) == 4:
            done.set_result(None)

    timers = [node.create_timer(0.02, first)]
    assert serve(node, future=done) < 2
    assert calls == ["first", "second", "second", "second"]


def test_what_a_callback_destroys_is_not_served_though_it_was_ready(node):
    calls, timers = [], []

    def call():
        calls.append(time.monotonic())
        while timers:
            node.destroy_timer(timers.pop())

    timers += [node.create_timer(0.05, call), node.create_timer(0.05, call)]
    while not all(timer.is_ready() for timer in timers):  # both at once
        time.sleep(0.01)
    serve(node, 0.3)
    assert len(calls) == 1


def test_exceptions_come_through(node):
    def fail():
        raise RuntimeError("out of cheese")

    node.create_timer(0.02, fail)
    with pytest.raises(RuntimeError, match="out of cheese"):
        serve(node)


def test_messages_and_services(node, client):
    heard, done = [], Future()
    node.create_subscription(Twist, "/executor/twist", heard.append, 10)

    def answer(_request, response):
        response.success = True
        return response

    node.create_service(Trigger, "/executor/ask", answer)
    spinning = threading.Thread(target=serve, args=(node, 30.0, done))
    spinning.start()
    try:
        publisher = client.node.create_publisher(Twist, "/executor/twist", 10)
        asking = client.node.create_client(Trigger, "/executor/ask")
        assert client.until(lambda: publisher.get_subscription_count() and asking.service_is_ready())
        publisher.publish(Twist())
        future = asking.call_async(Trigger.Request())
        assert client.until(lambda: future.done() and heard, 10)
        assert future.result().success
    finally:
        done.set_result(None)
        spinning.join()


def test_a_request_that_makes_its_callback_fail_is_dropped(node, client):
    """Whoever sends it does not end the node: here rclpy's own service fails at an unknown parameter type."""
    done = Future()
    node.declare_parameter("number", 1)
    spinning = threading.Thread(target=serve, args=(node, 30.0, done))
    spinning.start()
    try:
        setting = client.node.create_client(SetParameters, "/served/set_parameters")
        assert client.until(setting.service_is_ready)
        for kind, answered in ((77, False), (ParameterType.PARAMETER_INTEGER, True)):
            value = ParameterValue(type=kind, integer_value=2)
            future = setting.call_async(SetParameters.Request(parameters=[Parameter(name="number", value=value)]))
            assert client.until(future.done, 5 if answered else 0.5) == answered
        assert spinning.is_alive()
        assert node.get_parameter("number").value == 2
    finally:
        if not done.done():
            done.set_result(None)
        spinning.join()


def test_a_timer_that_a_message_sets_off_follows_without_a_wait_after_what_has_come_meanwhile(node):
    calls, done = [], Future()

    class Noting(RobotExecutor):
        def _wait(self):
            calls.append("wait")
            super()._wait()

    def first(_message):
        calls.append("first")
        publisher.publish(Twist())
        time.sleep(0.2)
        timer.timer_period_ns = 1
        timer.reset()

    def run():
        calls.append("timer")
        timer.cancel()
        done.set_result(None)

    node.create_subscription(Twist, "/executor/first", first, 10)
    node.create_subscription(Twist, "/executor/second", lambda _message: calls.append("second"), 10)
    publisher = node.create_publisher(Twist, "/executor/second", 10)
    timer = node.create_timer(1000.0, run)
    start = node.create_publisher(Twist, "/executor/first", 10)
    executor = Noting()
    executor.add_node(node)
    watchdog = threading.Timer(10.0, lambda: done.done() or done.set_result(None))
    watchdog.start()
    start.publish(Twist())
    executor.spin_until_future_complete(done)
    watchdog.cancel()
    executor.remove_node(node)
    executor.shutdown()
    assert calls[calls.index("first") :] == ["first", "second", "timer"]
