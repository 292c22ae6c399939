"""A robot with two lidars: the simulator publishes both, and its node drives only by both."""

import math
import time

import numpy as np
import pytest
import yaml
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import LaserScan

from kdmarl_core.contract import KdmarlError, load_robot_types, load_swarm
from kdmarl_core.contract.terms import Goal, Lidar, Velocity
from kdmarl_ros.robot.inputs import check_remappings
from node_process import Client, node_process
from policy_process import PERIOD, SLACK, TIMEOUT, policy_process
from robot_body import RobotBody, edited
from sim_support import robot as robot_of
from sim_support import write_swarm
from support import ROBOT_TYPES, write_policy

HALF = {"beams": 270, "range": 3.5, "fov": 1.5 * math.pi}
REAR = HALF | {"mounting": {"x": -0.1, "yaw": 3.14}}
LIDARS = {"lidar": HALF | {"mounting": {"x": 0.1}}, "more_lidars": {"rear": REAR}}
TERMS = [Lidar(sectors=36, range=3.5), Goal(range=5.0), Velocity()]


@pytest.fixture
def types(tmp_path):
    """A file of robot types in which the scout has a lidar at its front and one at its rear."""
    types = yaml.safe_load(ROBOT_TYPES.read_text())
    types["scout"]["sensors"] = LIDARS
    path = tmp_path / "robots.yaml"
    path.write_text(yaml.safe_dump(types))
    return path


def swarm_of(tmp_path, types, **changes):
    text = types.read_text()
    path = write_swarm(
        tmp_path,
        [robot_of("scout_1", pose=(0.0, -0.5, 0.0), goal=(-2.0, -2.0))],
        observation=[Goal(range=5.0), Velocity()],
        **changes,
    )
    types.write_text(text)
    return path


def test_a_node_drives_by_both_and_stops_without_either(tmp_path, types):
    policy = write_policy(tmp_path / "p.onnx", "scout", robot=load_robot_types(types)["scout"], observation=TERMS)
    robot = RobotBody(topics=("scan", "scan_rear", "odom"))
    try:
        with policy_process(policy, robot_types=types, scan_guard="true"):
            assert robot.drives()
            for topic in ("scan", "scan_rear"):
                since = time.monotonic()
                robot.edits[topic] = lambda message: None
                assert robot.halts(since) < TIMEOUT + 2 * PERIOD + SLACK
                assert robot.says(f"nothing on /r1/{topic} for")
                robot.edits[topic] = edited(angle_increment=0.001)
                assert robot.says(f"{topic} looks from -3.14 to -2.78 rad, the robot type says from -2.36 to 2.36 rad")
                robot.edits.clear()
                assert robot.drives()
    finally:
        robot.close()


def test_the_simulator_publishes_both(tmp_path, types):
    swarm = swarm_of(tmp_path, types, world={"size": [8.0, 8.0], "discs": [[-1.5, -0.5, 0.5]]})
    client = Client()
    try:
        for topic in ("scan", "scan_rear"):
            client.listen(LaserScan, f"/scout_1/{topic}", qos_profile_sensor_data)
        with node_process("sim.simulator_node", swarm=swarm):
            assert client.until(lambda: client.on("/scout_1/scan") and client.on("/scout_1/scan_rear"))
        front, rear = (client.on(f"/scout_1/{topic}")[-1] for topic in ("scan", "scan_rear"))
        assert (front.header.frame_id, rear.header.frame_id) == ("scout_1/base_scan", "scout_1/base_scan_rear")
        assert min(front.ranges) > 3.0
        assert rear.ranges[135] == pytest.approx(0.9, abs=0.06)
        assert np.argmin(rear.ranges) == pytest.approx(135, abs=8)
    finally:
        client.close()


def test_topics_of_further_lidars_may_get_other_names(tmp_path, types):
    changes = {"defaults": {"remappings": {"scan_rear": "back/scan"}}}
    check_remappings(load_swarm(swarm_of(tmp_path, types, world=None, **changes)))
    changes = {"defaults": {"remappings": {"scan_left": "left/scan"}}}
    with pytest.raises(KdmarlError, match="has no topic 'scan_left'; .*scan, scan_rear|scan_rear"):
        check_remappings(load_swarm(swarm_of(tmp_path, types, world=None, **changes)))
