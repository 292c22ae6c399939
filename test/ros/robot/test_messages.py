"""Numbers that no robot may drive by are refused before numpy sees them; distances are what their messages say."""

import array
import math

import pytest
from geometry_msgs.msg import Quaternion
from nav_msgs.msg import Odometry
from sensor_msgs.msg import LaserScan, Range

from kdmarl_core.contract.spaces import LARGEST
from kdmarl_core.runtime.faults import Cause, Fault
from kdmarl_ros.robot.messages import to_goal, to_motion, to_neighbors, to_ranges, to_scan, to_targets, turn_time
from robot_body import place, places

AHEAD = Quaternion(w=1.0)


def odometry(x=0.0, speed=0.0):
    message = Odometry()
    message.header.frame_id = "map"
    message.pose.pose.position.x, message.pose.pose.orientation = x, AHEAD
    message.twist.twist.linear.x = speed
    return message


def neighbors(x):
    message = places((x, 0.0))
    message.poses[0].orientation = AHEAD
    return to_neighbors(message, None)


HERE = odometry(), to_motion(odometry())


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("number", [math.nan, math.inf, 1e39, -1e300, 2 * LARGEST])
@pytest.mark.parametrize(
    "convert",
    [
        lambda number: to_motion(odometry(x=number)),
        lambda number: to_motion(odometry(speed=number)),
        lambda number: to_goal(place(number, 0.0), *HERE),
        lambda number: to_targets(places((0.0, number)), *HERE),
        neighbors,
    ],
    ids=["place", "speed", "goal", "targets", "neighbors"],
)
def test_numbers_beyond_all_robots_are_malformed(convert, number):
    with pytest.raises(Fault, match="not finite or beyond 1e") as error:
        convert(number)
    assert error.value.cause is Cause.MALFORMED


NAN, INF = math.nan, math.inf


def lidar(**values):
    return LaserScan(ranges=array.array("f", [1.0] * 11), range_min=0.1, range_max=3.5, **values)


@pytest.mark.parametrize(("farthest", "fits"), [(3.5, True), (3.4999, True), (8.0, True), (INF, True), (3.4, False)])
def test_a_sensor_sees_as_far_as_its_policy_was_trained_to(farthest, fits):
    scan, sonar = lidar(), Range(range=1.0, max_range=farthest)
    scan.range_max = farthest
    for convert, topic in ((lambda: to_scan(scan, 3.5), "scan"), (lambda: to_ranges([sonar], 3.5), "range_0")):
        if fits:
            convert()
            continue
        with pytest.raises(Fault, match=f"{topic} sees 3.4 m far, the policy was trained to see 3.5 m") as error:
            convert()
        assert error.value.cause is Cause.MALFORMED


@pytest.mark.parametrize("limits", [(0.1, NAN), (NAN, 3.5), (-0.1, 3.5), (3.5, 3.5), (INF, INF), (0.1, -INF)])
def test_limits_of_a_scan_that_make_no_sense_are_malformed(limits):
    scan = lidar()
    scan.range_min, scan.range_max = limits
    with pytest.raises(Fault, match="set 0 <= range_min < range_max in the lidar driver"):
        to_scan(scan)


@pytest.mark.parametrize(
    ("given", "read"),
    [(1.0, 1.0), (0.0, NAN), (-1.0, NAN), (0.01, -INF), (-INF, -INF), (2.5, INF), (INF, INF), (NAN, NAN)],
)
def test_a_range_beyond_its_limits_is_what_the_message_says(given, read):
    others = [Range(range=1.0, min_range=0.05, max_range=2.0)] * 2
    ranges = to_ranges([Range(range=given, min_range=0.05, max_range=2.0), *others])
    assert ranges.tolist() == pytest.approx([read, 1.0, 1.0], nan_ok=True)


def test_a_range_of_zero_is_a_distance_where_there_is_no_smallest():
    assert to_ranges([Range(range=0.0, max_range=2.0)]).tolist() == [0.0]


@pytest.mark.parametrize("said", [NAN, 0.0])
def test_range_sensors_that_mostly_say_nothing_are_malformed(said):
    nothing = Range(range=said, min_range=0.05, max_range=2.0)
    with pytest.raises(Fault, match="2 of 3 range sensors give NaN, or 0 below their min_range"):
        to_ranges([nothing, nothing, Range(range=1.0, min_range=0.05, max_range=2.0)])


@pytest.mark.parametrize(
    ("values", "turn"),
    [
        ({"time_increment": 0.01, "scan_time": 0.2}, 0.1),
        ({"scan_time": 0.2}, 0.2),
        ({}, 0.3),
        ({"time_increment": NAN, "scan_time": -1.0}, 0.3),
        ({"time_increment": INF}, INF),
    ],
)
def test_the_time_of_a_turn_is_said_by_the_scan_or_by_the_time_between_scans(values, turn):
    assert turn_time(lidar(**values), 0.3) == pytest.approx(turn)
