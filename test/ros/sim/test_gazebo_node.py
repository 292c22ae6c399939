"""Scans across the cones of range sensors become their messages, and the odometry of all each one's neighbours."""

import array
import itertools
import math

import pytest
from geometry_msgs.msg import PoseArray, PoseWithCovarianceStamped
from nav_msgs.msg import Odometry
from rclpy.qos import qos_profile_sensor_data
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import LaserScan, Range

from kdmarl_core.contract.planar import Planar
from kdmarl_ros.node.qos import LATCHED_QOS
from kdmarl_ros.sim.gazebo_node import nearest
from node_process import Client, node_process
from robot_body import posed
from sim_support import robot, write_swarm


@pytest.mark.parametrize(
    ("ranges", "expected"),
    [
        ([1.0, 0.7, math.inf], 0.7),
        ([math.inf, math.inf], math.inf),
        ([1.0, -math.inf, math.nan], -math.inf),
        ([math.nan], math.nan),
        ([], math.nan),
    ],
)
def test_the_nearest_counts(ranges, expected):
    found = nearest(LaserScan(ranges=array.array("f", ranges)))
    assert found == pytest.approx(expected, nan_ok=True)


def test_each_sensor_has_its_topic(tmp_path):
    swarm = write_swarm(
        tmp_path, [robot("m", "mini"), robot("s", pose=(2.0, 2.0, 0.0), goal=(-2.0, 2.0))], world={"size": [9.0, 9.0]}
    )
    client = Client()
    try:
        scans = [client.node.create_publisher(LaserScan, f"/m/range_{index}/scan", 10) for index in range(8)]
        for index in range(8):
            client.listen(Range, f"/m/range_{index}", qos_profile_sensor_data)
        with node_process("sim.gazebo_node", swarm=swarm):

            def heard():
                for index, publisher in enumerate(scans):
                    message = LaserScan(range_min=0.05, range_max=2.0, ranges=array.array("f", [1.0 + index, 2.0]))
                    message.header.frame_id, message.header.stamp.sec = f"m/range_{index}", 7
                    publisher.publish(message)
                return all(client.on(f"/m/range_{index}") for index in range(8))

            assert client.until(heard)
            odometry = {name: client.node.create_publisher(Odometry, f"/{name}/odom", 10) for name in ("m", "s")}

            def told():
                for name, place in (("m", Planar(1.0, 1.0, math.pi / 2)), ("s", Planar(1.0, 3.0, 0.0))):
                    message = posed(Odometry(), place, 5.0, "map")
                    message.child_frame_id = f"{name}/base_link"
                    odometry[name].publish(message)
                return client.on("/m/neighbors") and client.on("/m/neighbors")[-1].poses

            client.listen(PoseArray, "/m/neighbors", qos_profile_sensor_data)
            assert client.until(told)
        (pose,) = client.on("/m/neighbors")[-1].poses
        assert (pose.position.x, pose.position.y) == pytest.approx((2.0, 0.0), abs=1e-6)
        assert client.on("/m/neighbors")[-1].header.frame_id == "m/base_link"
        message = client.on("/m/range_3")[-1]
        assert (message.header.frame_id, message.header.stamp.sec) == ("m/range_3", 7)
        assert (message.range, message.min_range, message.max_range) == pytest.approx((2.0, 0.05, 2.0))
    finally:
        client.close()


def test_a_localisation_says_where_robots_are_in_generated_worlds(tmp_path):
    robots = [robot("m", "mini"), robot("s", pose=(2.0, 2.0, 0.0), goal=(-2.0, 2.0))]
    swarm = write_swarm(
        tmp_path, robots, world={"size": [9.0, 9.0]}, type_parameters={"scout": {"pose_source": "pose"}}
    )
    client = Client()
    try:
        truth = client.node.create_publisher(Odometry, "/s/ground_truth", 10)
        client.listen(PoseWithCovarianceStamped, "/s/pose", LATCHED_QOS)
        seconds = iter(range(1, 1_000_000))
        with node_process("sim.gazebo_node", swarm=swarm):

            def heard():
                truth.publish(posed(Odometry(), Planar(1.0, 3.0, 0.5), 5.0 + 0.1 * next(seconds), "map"))
                return len(client.on("/s/pose")) >= 3

            assert client.until(heard)
            assert "/m/pose" not in dict(client.node.get_topic_names_and_types())
        found = client.on("/s/pose")
        assert {message.header.frame_id for message in found} == {"map"}
        times = [message.header.stamp.sec + message.header.stamp.nanosec * 1e-9 for message in found]
        assert min(later - earlier for earlier, later in itertools.pairwise(times)) >= 0.499
        at = found[-1].pose.pose.position
        assert math.dist((at.x, at.y), (1.0, 3.0)) < 0.15
    finally:
        client.close()


def test_the_clock_comes_less_often_than_gazebos(tmp_path):
    swarm = write_swarm(tmp_path, [robot()], world={"size": [9.0, 9.0]})
    client = Client()
    try:
        gazebo = client.node.create_publisher(Clock, "/gazebo/clock", 10)
        client.listen(Clock, "/clock", 10)
        steps = itertools.count()

        def tell(start):
            message = Clock()
            message.clock.sec, message.clock.nanosec = start, 5_000_000 * next(steps)
            gazebo.publish(message)

        with node_process("sim.gazebo_node", swarm=swarm):
            assert client.until(lambda: gazebo.get_subscription_count())
            assert client.until(lambda: tell(7) or len(client.on("/clock")) >= 10)
            tell(3)  # reset
            assert client.until(lambda: client.on("/clock")[-1].clock.sec == 3)
        times = [message.clock.nanosec for message in client.on("/clock")[:10]]
        assert min(later - earlier for earlier, later in itertools.pairwise(times)) >= 20_000_000
    finally:
        client.close()
