"""Commands go out as the type that is subscribed to, and a robot that nobody hears says so."""

import time
from types import SimpleNamespace

import pytest
import rclpy
from geometry_msgs.msg import Twist, TwistStamped
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from kdmarl_ros.robot.commands import Commands
from node_process import DOMAIN
from policy_process import policy_process
from robot_body import RobotBody


@pytest.mark.parametrize("kind", [Twist, TwistStamped])
def test_the_base_gets_the_type_that_it_subscribes_to(policy, kind):
    robot = RobotBody(kind)
    try:
        with policy_process(policy):
            assert robot.drives()
            assert robot.says("driving")
            assert robot.until(lambda: robot.diagnostics[-1][:2] == (b"\x00", "driving"))
    finally:
        robot.close()


def test_a_base_that_wants_another_type_is_served_from_standing(robot, policy):
    with policy_process(policy):
        assert robot.drives()
        changed = time.monotonic()
        robot.listen_to(TwistStamped)
        assert robot.until(lambda: len(robot.moving(changed)) > 12)
    speeds = [linear for at, linear, _ in robot.moving(changed)]
    assert speeds[0] < 0.3  # it begins slowly: the base has heard nothing


@pytest.fixture
def stamped_base():
    """A base that hears TwistStamped: beside one that hears Twist it has to be another participant."""
    context = Context()
    rclpy.init(context=context, domain_id=DOMAIN)
    node, executor, heard = Node("base", context=context), SingleThreadedExecutor(context=context), []
    executor.add_node(node)

    def listen():
        node.create_subscription(TwistStamped, "/r1/cmd_vel", lambda message: heard.append(message.twist.linear.x), 10)
        return lambda: executor.spin_once(timeout_sec=0) or heard

    yield listen
    executor.shutdown()
    node.destroy_node()
    rclpy.shutdown(context=context)


def test_whoever_listened_before_is_stopped_when_a_base_wants_stamps(robot, policy, stamped_base):
    """Both listen: TwistStamped it is, since only bases ask for that."""
    with policy_process(policy):
        assert robot.drives()
        heard = stamped_base()
        assert robot.until(lambda: len(heard()) > 3)
        assert robot.until(lambda: robot.commands[-1][1:] == (0.0, 0.0), 2)
        assert heard()[0] == 0
        assert 0 < heard()[1] < 0.3


def test_a_robot_that_nobody_hears_warns_until_somebody_does(robot, policy):
    robot.listen_to(None)
    with policy_process(policy, stamped_commands=False):
        assert robot.says("driving, but nobody subscribes to /r1/cmd_vel; check the base's topic")
        assert robot.diagnostics[-1][0] == b"\x01"
        robot.listen_to(TwistStamped)
        assert robot.says(
            "driving, but what subscribes to /r1/cmd_vel has the type geometry_msgs/msg/TwistStamped instead of "
            "geometry_msgs/msg/Twist"
        )
        assert not robot.commands
        robot.listen_to(Twist)
        assert robot.until(lambda: robot.diagnostics[-1][:2] == (b"\x00", "driving"))
        assert robot.drives()


def test_a_base_that_expects_another_type_is_named_though_somebody_else_hears(robot, policy):
    """As a recorder may."""
    robot.listen_to(Twist)
    with policy_process(policy, goal="[1.0, 9.0]", stamped_commands="false"):
        assert robot.drives()
        context = Context()  # one participant has one type for a topic
        rclpy.init(context=context, domain_id=DOMAIN)
        base = Node("base", context=context)
        base.create_subscription(TwistStamped, "/r1/cmd_vel", lambda message: None, 1)
        assert robot.says("another subscriber of /r1/cmd_vel expects the type geometry_msgs/msg/TwistStamped")
        base.destroy_node()
        rclpy.shutdown(context=context)
        assert robot.until(lambda: robot.diagnostics[-1][:2] == (b"\x00", "driving"))


def test_a_change_of_why_nobody_hears_is_reported_when_it_is_seen(monkeypatch):
    """Not with the next regular diagnostics, up to a second later."""
    reports, trouble, now = [], [""], [100.0]
    monkeypatch.setattr("kdmarl_ros.robot.commands.time.monotonic", lambda: now[0])
    node = SimpleNamespace(get_namespace=lambda: "/r1", create_lifecycle_publisher=None)
    endpoint = SimpleNamespace(
        topic="/r1/cmd_vel",
        make=lambda create, kind: SimpleNamespace(get_subscription_count=lambda: 0),
        trouble=lambda: trouble[0],
    )
    monkeypatch.setattr("kdmarl_ros.robot.commands.Endpoint", lambda *given, **options: endpoint)
    commands = Commands(node, False, on_change=lambda: reports.append(commands.unheard()))
    for reason, expected in (
        ("", "nobody subscribes"),
        ("", None),
        ("another type", "has another type"),
        ("", "nobody"),
    ):
        trouble[0] = reason
        reports.clear()
        for _ in range(3):  # control cycles
            now[0] += 0.1
            commands.look()
        assert len(reports) == (expected is not None)
        assert not expected or expected in reports[0]


@pytest.mark.parametrize("value", ["perhaps", 3])
def test_a_type_that_is_none_ends_the_node(policy, value):
    with policy_process(policy, stamped_commands=value) as process:
        output, _ = process.communicate(timeout=20)
    assert process.returncode == 2
    assert f"parameter 'stamped_commands' is {value!r}; give auto, true or false" in output


def test_where_the_middleware_cannot_tell_whether_a_command_has_arrived_nobody_waits():
    class Publisher:
        def wait_for_all_acked(self, timeout):
            raise RuntimeError("not supported")

    commands = object.__new__(Commands)
    commands._publisher = Publisher()
    assert commands.arrived()
