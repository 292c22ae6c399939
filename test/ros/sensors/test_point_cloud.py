"""Point clouds as messages: good and bad ones, of the simulator, and a node that stops without them."""

import array
import math
import time

import numpy as np
import pytest
import yaml
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import PointCloud2, PointField

from kdmarl_core.contract import load_robot_types
from kdmarl_core.contract.sensors import PointCloud, PointCloudSensor
from kdmarl_core.contract.terms import Goal, Velocity
from kdmarl_core.runtime.faults import Cause, Fault
from kdmarl_ros.sensors.point_cloud import Topics, to_scan
from node_process import Client, node_process
from policy_process import PERIOD, SLACK, TIMEOUT, policy_process
from robot_body import RobotBody, edited
from sim_support import robot as robot_of
from sim_support import write_swarm
from support import ROBOT_TYPES, write_policy

SETTINGS = {"columns": 8, "range": 3.0, "fov": 1.6, "heights": [-0.1, 0.5]}
SENSOR = PointCloudSensor(columns=8, range=3.0, fov=1.6, heights=(-0.1, 0.5))
TERM = PointCloud(sectors=8, range=3.0, fov=1.6)
NAN, INF = math.nan, math.inf


def cloud_of(rows, frame="camera_link", pad=0, step=16):
    """A cloud of rows of points, (height, width, 3) [m], each row with some bytes behind it."""
    rows = np.asarray(rows, "<f4")
    height, width, _ = rows.shape
    data = np.zeros((height, width * step + pad), np.uint8)
    points = data[:, : width * step].reshape(height, width, step)
    points[..., 4:16] = rows.copy().view(np.uint8).reshape(height, width, 12)
    fields = [PointField(name="intensity", offset=0, datatype=PointField.FLOAT32, count=1)]
    fields += [
        PointField(name=name, offset=4 + 4 * index, datatype=PointField.FLOAT32, count=1)
        for index, name in enumerate("xyz")
    ]
    cloud = PointCloud2(height=height, width=width, fields=fields, point_step=step, row_step=width * step + pad)
    cloud.header.frame_id = frame
    cloud.data = array.array("B", data.tobytes())
    return cloud


def at(distance, angle, up=0.0):
    return distance * math.cos(angle), distance * math.sin(angle), up


FLOOR = [at(2.5, angle, -0.3) for angle in SENSOR.angles]
OBSTACLES = [
    at(1.0, 0.1),
    at(0.7, 0.15, 0.5),  # higher up, but low enough to count
    at(0.2, 0.1, 0.6),  # above the robot
    at(0.2, 0.1, -0.11),  # floor
    at(0.5, -0.75),
    at(0.4, 0.85),  # beyond the field of view
    at(0.4, math.pi),  # behind
    (NAN, NAN, NAN),
    (INF, 0.0, 0.0),
]
SEEN = [0.5, INF, INF, INF, 0.7, INF, INF, INF]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("frame", ["camera_link", "camera_depth_optical_frame"])
@pytest.mark.parametrize("rows", [1, 17])
def test_the_nearest_point_that_counts_in_each_column(frame, rows):
    points = np.array(FLOOR + OBSTACLES).reshape(rows, -1, 3)
    if "optical" in frame:
        points = np.stack([-points[..., 1], -points[..., 2], points[..., 0]], -1)
    scan = to_scan(cloud_of(points, frame, pad=5, step=24), SENSOR)
    assert scan.ranges.tolist() == pytest.approx(SEEN, rel=1e-6)
    assert scan.angle_min == pytest.approx(SENSOR.angles[0])
    assert scan.angle_increment == pytest.approx(0.2)


def test_points_at_the_edge_of_a_whole_turn_count():
    around = PointCloudSensor(columns=8, range=3.0, fov=2 * math.pi, heights=(-0.1, 0.5))
    floor = [at(2.5, angle, -0.3) for angle in around.angles]
    scan = to_scan(cloud_of([[*floor, (-1.0, 0.0, 0.0)]]), around)
    assert scan.ranges.tolist() == [INF] * 7 + [1.0]


def test_a_column_without_a_point_says_nothing():
    scan = to_scan(cloud_of([[*FLOOR[:4], at(1.0, 0.7)]]), SENSOR)
    assert scan.ranges.tolist() == pytest.approx([INF] * 4 + [NAN] * 3 + [1.0], nan_ok=True)


def test_points_at_the_origin_are_invalid_and_hide_nothing():
    """Many drivers put there what they could not measure."""
    ahead = at(0.4, 0.01)
    seen, hidden = (to_scan(cloud_of([[*FLOOR, ahead, *more]]), SENSOR).ranges for more in ([], [(0.0, 0.0, 0.0)] * 5))
    assert np.nanmin(seen) == pytest.approx(0.4)
    assert hidden.tolist() == seen.tolist()


def bad(cloud, **changes):
    for name, value in changes.items():
        setattr(cloud, name, value)
    return cloud


FEW = [[*FLOOR[:3], (NAN, 0.0, 0.0)]]
DOUBLE = [PointField(name=name, offset=8 * index, datatype=8, count=1) for index, name in enumerate("xyz")]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("cloud", "reason"),
    [
        (cloud_of(FEW), "5 of 8 columns of points hold no point, or one nearer than 0.05 m"),
        (cloud_of([[at(0.01, angle) for angle in SENSOR.angles]]), "8 of 8 columns"),
        (cloud_of(np.zeros((1, 0, 3))), "8 of 8 columns"),
        (PointCloud2(), "points has no x, y, z of type float32"),
        (bad(cloud_of([FLOOR]), fields=DOUBLE), "points has no x, y, z of type float32"),
        (bad(cloud_of([FLOOR]), is_bigendian=True), "lowest byte first"),
        (
            bad(cloud_of([FLOOR]), height=2),
            "128 bytes, too few for 2 rows of 128 bytes with 8 points of 16 bytes",
        ),
        (bad(cloud_of([FLOOR]), width=9), "too few for 1 rows of 128 bytes with 9 points"),
        (bad(cloud_of([FLOOR]), point_step=12), "8 points of 12 bytes each"),
        (bad(cloud_of([FLOOR]), point_step=0, row_step=0), "8 points of 0 bytes each"),
        (bad(cloud_of([FLOOR]), width=2**31, height=2**31), "at most 100000 are taken"),
    ],
)
def test_clouds_that_no_robot_may_drive_by_are_malformed(cloud, reason):
    with pytest.raises(Fault, match=reason) as error:
        to_scan(cloud, SENSOR)
    assert error.value.cause is Cause.MALFORMED


def test_a_measurement_comes_through():
    measured = np.array([0.5, INF, -INF, 1.0, 2.9, INF, 0.06, 0.3], np.float32)
    messages = Topics.messages(SENSOR, "r1/", 0.1)
    Topics.fill(SENSOR, messages, measured)
    assert messages[0].header.frame_id == "r1/points"
    expected = np.where(np.isneginf(measured), NAN, measured)
    np.testing.assert_allclose(to_scan(messages[0], SENSOR).ranges, expected, rtol=1e-6)


@pytest.fixture
def types(tmp_path):
    """A file of robot types in which the scout has a depth camera only."""
    types = yaml.safe_load(ROBOT_TYPES.read_text())
    types["scout"]["sensors"] = {"point_cloud": SETTINGS}
    path = tmp_path / "robots.yaml"
    path.write_text(yaml.safe_dump(types))
    return path


def test_a_node_drives_by_clouds_stops_without_and_before_what_they_show(tmp_path, types):
    terms = [TERM, Goal(range=5.0), Velocity()]
    policy = write_policy(tmp_path / "p.onnx", "scout", robot=load_robot_types(types)["scout"], observation=terms)
    robot = RobotBody(topics=("points", "odom"))
    try:
        with policy_process(policy, robot_types=types, scan_guard="true"):
            assert robot.drives()
            near = cloud_of([[at(0.2, angle) for angle in SENSOR.angles]])
            robot.edits["points"] = edited(**{name: getattr(near, name) for name in FIELDS})
            assert robot.until(lambda: any(linear == 0 for _, linear, _ in robot.commands[-3:]))
            assert robot.until(lambda: int(robot.diagnostics[-1][2]["guarded_cycles"]) > 5)
            robot.edits.clear()
            assert robot.drives()
            since = time.monotonic()
            robot.edits["points"] = lambda message: None
            assert robot.halts(since) < TIMEOUT + 2 * PERIOD + SLACK
            assert robot.says("nothing on /r1/points for")
            robot.edits["points"] = edited(is_bigendian=True)
            assert robot.says("points has no x, y, z of type float32, lowest byte first")
            robot.edits.clear()
            assert robot.drives()
    finally:
        robot.close()


FIELDS = ("height", "width", "fields", "point_step", "row_step", "data")


def test_the_simulator_publishes_clouds(tmp_path, types):
    text = types.read_text()
    observation = [Goal(range=5.0), Velocity()]
    swarm = write_swarm(
        tmp_path, [robot_of("scout_1", goal=(-2.0, -2.0))], observation=observation,
        world={"size": [8.0, 8.0], "discs": [[1.5, 0.0, 0.5]]},
    )  # fmt: skip
    types.write_text(text)
    client = Client()
    try:
        client.listen(PointCloud2, "/scout_1/points", qos_profile_sensor_data)
        with node_process("sim.simulator_node", swarm=swarm):
            assert client.until(lambda: client.on("/scout_1/points"))
        scan = to_scan(client.on("/scout_1/points")[-1], SENSOR)
        assert scan.ranges[3:5] == pytest.approx(1.0, abs=0.06)
        assert np.isposinf(scan.ranges[[0, 7]]).all()
    finally:
        client.close()
