"""The simulator node as its users meet it: a process, topics, a service and signals."""

import itertools
import math
import signal
import time

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseArray, Twist, TwistStamped
from msgspec.structs import replace
from nav_msgs.msg import Odometry
from rclpy.qos import qos_profile_sensor_data
from rclpy.subscription import MessageInfo
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import LaserScan, Range
from std_srvs.srv import Trigger
from visualization_msgs.msg import MarkerArray

from kdmarl_core.contract import load_swarm
from kdmarl_core.mujoco.world import MujocoWorld
from kdmarl_ros.sim.markers import SwarmMarkers
from node_process import Client, node_process
from sim_support import make_swarm, robot, write_swarm
from support import REPOSITORY

ROBOTS = [robot("scout_1", goal=(-2.0, -2.0)), robot("mini_1", "mini", (0.0, 2.0, 0.0), goal=(0.0, -2.0))]


@pytest.fixture
def swarm(tmp_path):
    world = {"size": [8.0, 8.0], "discs": [[1.5, 0.0, 0.5]]}
    return write_swarm(tmp_path, ROBOTS, world=world, frame="hall", type_parameters={"mini": {"frame_prefix": "m_"}})


@pytest.fixture
def client():
    client = Client()
    yield client
    client.close()


def seconds(stamp):
    return stamp.sec + stamp.nanosec * 1e-9


def last_time(client):
    clocks = client.on("/clock")
    return seconds(clocks[-1].clock) if clocks else 0.0


def listen(client):
    client.listen(Clock, "/clock", 10)
    client.listen(Odometry, "/scout_1/odom", qos_profile_sensor_data)
    client.listen(LaserScan, "/scout_1/scan", qos_profile_sensor_data)
    for index in range(8):
        client.listen(Range, f"/mini_1/range_{index}", qos_profile_sensor_data)


def test_sensors_clock_and_markers_are_what_the_swarm_file_says(swarm, client):
    listen(client)
    client.listen(MarkerArray, "/simulator/markers", 1)
    client.listen(PoseArray, "/scout_1/neighbors", qos_profile_sensor_data)
    with node_process("sim.simulator_node", swarm=swarm):
        topics = ("/simulator/markers", "/scout_1/neighbors")
        assert client.until(lambda: last_time(client) > 2.0 and all(map(client.on, topics)))
    scan = client.on("/scout_1/scan")[-1]
    assert scan.header.frame_id == "scout_1/base_scan"
    assert len(scan.ranges) == 360
    assert scan.angle_min == pytest.approx(-math.pi)
    assert scan.angle_max == pytest.approx(math.pi - 2 * math.pi / 360)
    assert (scan.range_min, scan.range_max) == pytest.approx((0.05, 3.5))
    assert scan.ranges[180] == pytest.approx(1.0, abs=0.06)
    readings = [client.on(f"/mini_1/range_{index}")[-1] for index in range(8)]
    assert readings[2].header.frame_id == "m_range_2"
    assert readings[2].range == pytest.approx(2.0, abs=0.06) or math.isinf(readings[2].range)
    assert readings[6].range == pytest.approx(2.0 - 0.18, abs=0.06)
    assert (readings[0].field_of_view, readings[0].max_range) == pytest.approx((0.35, 2.0))
    odometry = client.on("/scout_1/odom")[-1]
    assert (odometry.header.frame_id, odometry.child_frame_id) == ("hall", "scout_1/base_link")
    neighbors = client.on("/scout_1/neighbors")[-1]
    assert neighbors.header.frame_id == "scout_1/base_link"
    pose = odometry.pose.pose.position
    assert [(at.position.x, at.position.y) for at in neighbors.poses] == [
        pytest.approx((-pose.x, 2.0 - pose.y), abs=0.01)
    ]
    markers = client.on("/simulator/markers")[-1].markers
    assert {marker.ns for marker in markers} == {"robots", "headings", "sensors", "goals", "obstacles"}
    assert len({marker.id for marker in markers}) == len(markers)
    assert {marker.header.frame_id for marker in markers} == {"hall"}


def test_targets_are_drawn_where_they_are():
    swarm = replace(make_swarm([robot(goal=None)]), targets=[(2.0, 0.0), (-2.0, 1.0)])
    markers = SwarmMarkers(swarm).at(MujocoWorld(swarm), Time()).markers
    targets = [marker for marker in markers if marker.ns == "targets"]
    assert [(marker.pose.position.x, marker.pose.position.y) for marker in targets] == swarm.targets
    assert {marker.scale.x for marker in targets} == {2 * swarm.goal_tolerance}
    assert not [marker for marker in markers if marker.ns == "goals"]


def test_markers_show_where_sensors_sit_and_look():
    swarm = load_swarm(REPOSITORY / "config/swarms/turtlebots.yaml")
    markers = SwarmMarkers(swarm).at(MujocoWorld(swarm), Time()).markers
    sensors = [marker for marker in markers if marker.ns == "sensors"]
    assert len(sensors) == len(swarm.robots)
    begin, end = sensors[[robot.name for robot in swarm.robots].index("tb4_1")].points
    assert (begin.x, begin.y) == (-0.04, 0.0)
    assert (end.x - begin.x, end.y - begin.y) == pytest.approx((0.0, 0.4 * 0.175), abs=1e-6)
    assert len(SwarmMarkers(make_swarm([robot(kind="mini")]))._sensors[0].points) == 16


def test_every_sensor_reading_is_sent_before_the_clock_of_its_time(swarm, client):
    sent = {"clock": {}, "odom": {}, "scan": {}}
    """simulated time → time of sending"""

    def note(topic, stamp_of):
        def callback(message, info: MessageInfo):
            sent[topic][seconds(stamp_of(message))] = info["source_timestamp"]

        return callback

    subscribe = client.node.create_subscription
    subscribe(Clock, "/clock", note("clock", lambda message: message.clock), 100)
    subscribe(Odometry, "/scout_1/odom", note("odom", lambda message: message.header.stamp), qos_profile_sensor_data)
    subscribe(LaserScan, "/scout_1/scan", note("scan", lambda message: message.header.stamp), qos_profile_sensor_data)
    with node_process("sim.simulator_node", swarm=swarm):
        assert client.until(lambda: len(sent["odom"]) > 20)
    assert np.median(np.diff(sorted(sent["clock"]))) == pytest.approx(0.02, abs=1e-6)
    for sensor in ("odom", "scan"):
        assert np.median(np.diff(sorted(sent[sensor]))) == pytest.approx(0.1, abs=1e-6)
        both = sent["clock"].keys() & sent[sensor].keys()
        assert len(both) > 10
        assert all(sent[sensor][stamp] < sent["clock"][stamp] for stamp in both)


@pytest.mark.parametrize("stamped", [False, True])
def test_a_robot_follows_commands_and_stops_without(tmp_path, client, stamped):
    swarm = write_swarm(tmp_path, ROBOTS, world={"size": [8.0, 8.0]}, defaults={"stamped_commands": stamped})
    listen(client)
    publisher = client.node.create_publisher(TwistStamped if stamped else Twist, "/scout_1/cmd_vel", 1)
    command = TwistStamped() if stamped else Twist()
    (command.twist if stamped else command).linear.x = 0.3
    timer = client.node.create_timer(0.1, lambda: publisher.publish(command))

    def speed():
        messages = client.on("/scout_1/odom")
        return messages[-1].twist.twist.linear.x if messages else 0.0

    with node_process("sim.simulator_node", swarm=swarm):
        assert client.until(lambda: speed() == pytest.approx(0.3, abs=0.01))
        timer.cancel()
        stopped_at = last_time(client)
        assert client.until(lambda: abs(speed()) < 0.01)
        assert last_time(client) - stopped_at == pytest.approx(0.8, abs=0.3)


def test_a_holonomic_robot_obeys_all_three_values(tmp_path, client):
    swarm = write_swarm(tmp_path, [robot("omni_1", "omni", goal=(2.0, 2.0))], world={"size": [8.0, 8.0]})
    client.listen(Odometry, "/omni_1/odom", qos_profile_sensor_data)
    publisher = client.node.create_publisher(Twist, "/omni_1/cmd_vel", 1)
    command = Twist()
    command.linear.x, command.linear.y, command.angular.z = 0.1, -0.3, 0.5
    client.node.create_timer(0.1, lambda: publisher.publish(command))

    def moves():
        twist = client.on("/omni_1/odom")[-1].twist.twist
        return twist.linear.x, twist.linear.y, twist.angular.z

    with node_process("sim.simulator_node", swarm=swarm):
        assert client.until(lambda: client.on("/omni_1/odom") and moves() == pytest.approx((0.1, -0.3, 0.5), abs=0.02))


def test_a_command_that_is_not_finite_stops_the_robot(swarm, client):
    listen(client)
    publisher = client.node.create_publisher(Twist, "/scout_1/cmd_vel", 1)
    command = Twist()
    command.linear.x = 0.3
    client.node.create_timer(0.1, lambda: publisher.publish(command))
    with node_process("sim.simulator_node", swarm=swarm) as process:
        odom = "/scout_1/odom"
        assert client.until(lambda: client.on(odom) and client.on(odom)[-1].twist.twist.linear.x > 0.25)
        command.linear.x = math.nan
        assert client.until(lambda: abs(client.on(odom)[-1].twist.twist.linear.x) < 0.01)
        process.send_signal(signal.SIGINT)
        output = process.communicate(timeout=10)[0]
    assert "scout_1: command is not finite" in output


def test_reset_puts_robots_back_while_the_clock_goes_on(swarm, client):
    listen(client)
    publisher = client.node.create_publisher(Twist, "/scout_1/cmd_vel", 1)
    command = Twist()
    command.linear.x = 0.5
    timer = client.node.create_timer(0.1, lambda: publisher.publish(command))
    reset = client.node.create_client(Trigger, "/simulator/reset")
    odom = "/scout_1/odom"
    with node_process("sim.simulator_node", swarm=swarm):
        assert client.until(lambda: client.on(odom) and client.on(odom)[-1].pose.pose.position.x > 0.2)
        timer.cancel()
        client.spin(0.2)
        before = last_time(client)
        answer = reset.call_async(Trigger.Request())
        assert client.until(answer.done)
        assert answer.result().success
        assert client.until(lambda: abs(client.on(odom)[-1].pose.pose.position.x) < 1e-6)
        assert client.until(lambda: last_time(client) > before)


def test_time_stands_until_the_observer_sees_every_robot(swarm, client):
    client.listen(Clock, "/clock", 10)
    client.listen(Odometry, "/scout_1/odom", qos_profile_sensor_data)
    with node_process("sim.simulator_node", swarm=swarm, observer=client.node.get_name()):
        assert client.until(lambda: client.node.get_publishers_info_by_topic("/clock"))
        client.spin(1.5)
        assert not client.on("/clock")
        client.listen(Odometry, "/mini_1/odom", qos_profile_sensor_data)
        assert client.until(lambda: last_time(client) > 0.2)
    assert client.on("/mini_1/odom")


def test_real_time_factor_sets_the_speed(swarm, client):
    listen(client)
    with node_process("sim.simulator_node", swarm=swarm, real_time_factor=0.5):
        assert client.until(lambda: last_time(client) > 0.2)
        start, simulated = time.monotonic(), last_time(client)
        assert client.until(lambda: last_time(client) > simulated + 1.0)
        factor = (last_time(client) - simulated) / (time.monotonic() - start)
    assert factor == pytest.approx(0.5, abs=0.1)


def drive_in_lockstep(swarm, client, delay):
    """Answer each odometry with a command after ``delay`` [s]; returns the positions while driving."""
    publisher = client.node.create_publisher(Twist, "/scout_1/cmd_vel", 1)
    track = []

    def answer(message):
        if publisher.get_subscription_count() == 0:
            return
        track.append((message.pose.pose.position.x, message.pose.pose.position.y))
        time.sleep(delay)
        command = Twist()
        if len(track) > 10:  # from here on the simulator knows of the robot and waits for it
            command.linear.x, command.angular.z = 0.4, math.sin(len(track))
        publisher.publish(command)

    client.node.create_subscription(Odometry, "/scout_1/odom", answer, qos_profile_sensor_data)
    with node_process("sim.simulator_node", swarm=swarm, lockstep=True, real_time_factor=0.0):
        assert client.until(lambda: len(track) >= 60)
    return track[11:60]


def lockstep_track(swarm, delay):
    client = Client()
    try:
        return drive_in_lockstep(swarm, client, delay)
    finally:
        client.close()


def test_lockstep_gives_the_same_motion_whatever_the_delay_of_commands(tmp_path):
    swarm = write_swarm(tmp_path, ROBOTS, world={"size": [8.0, 8.0]})
    tracks = [lockstep_track(swarm, delay) for delay in (0.0, 0.03, 0.06)]
    assert tracks[0][-1][0] > 0.3
    # Odometry is best effort: on a busy machine a message may be lost, and that run then says nothing.
    pairs = itertools.combinations(tracks, 2)
    assert any(np.allclose(one, other, rtol=0, atol=1e-6) for one, other in pairs)


def test_lockstep_goes_on_without_a_robot_that_fell_silent(swarm, client):
    listen(client)
    publisher = client.node.create_publisher(Twist, "/scout_1/cmd_vel", 1)
    with node_process("sim.simulator_node", swarm=swarm, lockstep=True) as process:
        assert client.until(lambda: publisher.get_subscription_count() and last_time(client) > 0.1)
        publisher.publish(Twist())
        before = last_time(client)
        assert client.until(lambda: last_time(client) > before + 1.0)
        process.send_signal(signal.SIGTERM)
        output = process.communicate(timeout=10)[0]
    assert output.count("no command from scout_1 within 0.4 s") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_it_cleanly_and_soon(swarm, client, number):
    listen(client)
    with node_process("sim.simulator_node", swarm=swarm) as process:
        assert client.until(lambda: last_time(client) > 0.0)
        start = time.monotonic()
        process.send_signal(number)
        output = process.communicate(timeout=10)[0]
    assert process.returncode == 0
    assert time.monotonic() - start < 3.0
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({}, "parameter 'swarm' is not set"),
        ({"swarm": "/nowhere/swarm.yaml"}, "/nowhere/swarm.yaml: no such file"),
        ({"robots": ["nobody"]}, "no robot 'nobody'; the swarm has scout_1, mini_1"),
        ({"real_time_factor": -1.0}, "parameter 'real_time_factor' is -1.0; give a value"),
        ({"lockstep": 3}, "parameter 'lockstep' is 3; give a value of type bool"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_two(swarm, parameters, sentence):
    given = {"swarm": swarm, **parameters} if parameters else {}
    with node_process("sim.simulator_node", **given) as process:
        output = process.communicate(timeout=20)[0]
    assert process.returncode == 2
    assert sentence in output
    assert len(output.strip().splitlines()) == 1
