"""Scans across the cones of range sensors become their messages."""

import array
import math

import pytest
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import LaserScan, Range

from kdmarl_ros.sim.ranges_node import nearest
from node_process import Client, node_process
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
        with node_process("sim.ranges_node", swarm=swarm):

            def heard():
                for index, publisher in enumerate(scans):
                    message = LaserScan(range_min=0.05, range_max=2.0, ranges=array.array("f", [1.0 + index, 2.0]))
                    message.header.frame_id, message.header.stamp.sec = f"m/range_{index}", 7
                    publisher.publish(message)
                return all(client.on(f"/m/range_{index}") for index in range(8))

            assert client.until(heard)
        message = client.on("/m/range_3")[-1]
        assert (message.header.frame_id, message.header.stamp.sec) == ("m/range_3", 7)
        assert (message.range, message.min_range, message.max_range) == pytest.approx((2.0, 0.05, 2.0))
    finally:
        client.close()
