"""Quality of service: overridden by parameters, and reported when it does not fit."""

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped, Twist
from nav_msgs.msg import Odometry
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import LaserScan

from kdmarl_core.contract.terms import Goal, Velocity
from kdmarl_ros.node.qos import Endpoint
from node_process import Client, node_process
from support import ROBOT_TYPES, write_policy

BEST_EFFORT = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
TRANSIENT_LOCAL = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


@pytest.fixture
def client():
    client = Client()
    client.listen(DiagnosticArray, "/diagnostics", 10)
    yield client
    client.close()


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    return write_policy(tmp_path_factory.mktemp("policies") / "scout.onnx")


def node(policy, **parameters):
    parameters = {"robot_types": ROBOT_TYPES, "robot_type": "scout", "autostart": True, **parameters}
    return node_process("robot.policy_node", __ns="/r1", policy=policy, **parameters)


def status(client):
    """The last diagnostics: message, and the topics with an incompatible QoS."""
    heard = client.on("/diagnostics")
    if not heard:
        return "", ""
    last = heard[-1].status[0]
    return last.message, {item.key: item.value for item in last.values}["incompatible_qos"]


def says(client, message, incompatible):
    found = client.until(lambda: message in status(client)[0] and incompatible == status(client)[1])
    assert found, status(client)


def offered(client, topic, is_publisher):
    """QoS of the robot's own endpoint on ``topic``, as others see it."""
    ask = client.node.get_publishers_info_by_topic if is_publisher else client.node.get_subscriptions_info_by_topic
    assert client.until(lambda: len(ask(topic)) == 1, 30)  # those of nodes that were killed before are gone by then
    return ask(topic)[0].qos_profile


def test_overrides_are_what_others_see(client, policy):
    scan, command = "qos_overrides./r1/scan.subscription", "qos_overrides./r1/cmd_vel.publisher"
    overrides = {f"{scan}.reliability": "reliable", f"{command}.durability": "transient_local"}
    with node(policy, **overrides):
        assert offered(client, "/r1/scan", False).reliability == ReliabilityPolicy.RELIABLE
        assert offered(client, "/r1/odom", False).reliability == ReliabilityPolicy.BEST_EFFORT
        command = offered(client, "/r1/cmd_vel", True)
        assert command.durability == DurabilityPolicy.TRANSIENT_LOCAL
        assert command.reliability == ReliabilityPolicy.RELIABLE


def test_a_sensor_that_does_not_fit_is_named_until_it_is_gone(client, policy):
    with node(policy, **{"qos_overrides./r1/scan.subscription.reliability": "reliable"}):
        says(client, "nothing received on /r1/scan; check that it is published there", "")
        lidar = client.node.create_publisher(LaserScan, "/r1/scan", BEST_EFFORT)
        says(
            client,
            "nothing received on /r1/scan; a publisher there has an incompatible QoS (reliability)",
            "/r1/scan (reliability)",
        )
        client.node.destroy_publisher(lidar)
        says(client, "nothing received on /r1/scan; check that it is published there", "")


def test_a_base_that_does_not_fit_is_a_warning_while_it_drives(client, tmp_path):
    """Who cannot send the robot a new goal does not stop it either."""
    blind = write_policy(tmp_path / "blind.onnx", observation=[Goal(range=5.0), Velocity()])
    odometry = client.node.create_publisher(Odometry, "/r1/odom", BEST_EFFORT)
    client.node.create_timer(0.05, lambda: odometry.publish(here(client)))
    with node(blind, goal=[2.0, 4.0]):
        says(client, "driving", "")
        client.node.create_publisher(PoseStamped, "/r1/goal_pose", BEST_EFFORT)
        base = client.node.create_subscription(Twist, "/r1/cmd_vel", print, TRANSIENT_LOCAL)
        both = "/r1/cmd_vel (durability), /r1/goal_pose (reliability)"
        says(client, f"driving, but with an incompatible QoS: {both}", both)
        assert client.on("/diagnostics")[-1].status[0].level == b"\x01"
        client.node.destroy_subscription(base)
        says(client, "driving, but with an incompatible QoS", "/r1/goal_pose (reliability)")


def here(client):
    odometry = Odometry(child_frame_id="r1/base_link")
    odometry.header.frame_id, odometry.header.stamp = "map", client.node.get_clock().now().to_msg()
    return odometry


@pytest.mark.parametrize(
    ("topic", "name", "value"),
    [("cmd_vel.publisher", "reliability", "perhaps"), ("cmd_vel.publisher", "depth", -3)],
)
def test_an_override_of_the_command_that_is_none_ends_the_node(policy, topic, name, value):
    with node(policy, **{f"qos_overrides./r1/{topic}.{name}": value}) as process:
        output, _ = process.communicate(timeout=20)
    assert process.returncode == 2
    assert f"'qos_overrides./r1/{topic}.*' does not fit" in output
    assert len(output.splitlines()) == 1


def test_an_override_of_a_sensor_that_is_none_leaves_it_unconfigured(client, policy):
    with node(policy, **{"qos_overrides./r1/scan.subscription.durability": 5}):
        says(client, "unconfigured: one of the parameters 'qos_overrides./r1/scan.subscription.*' does not fit", "")


def test_a_middleware_without_these_events_is_no_fault_of_the_user(client, monkeypatch):
    """Whether a publisher fits is then seen from what the graph says."""

    def refuse(*_, **__):
        raise rclpy_implementation.UnsupportedEventTypeError("not supported")

    monkeypatch.setattr("rclpy.event_handler.EventHandler.__init__", refuse)
    asked = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
    endpoint = Endpoint(client.node, "scan", asked)
    subscription = endpoint.make(client.node.create_subscription, LaserScan, print)
    monkeypatch.undo()
    assert endpoint.trouble() == ""
    lidar = client.node.create_publisher(LaserScan, "scan", BEST_EFFORT)
    assert client.until(lambda: endpoint.trouble() == "an incompatible QoS (reliability)")
    client.node.destroy_publisher(lidar)
    client.node.destroy_subscription(subscription)
