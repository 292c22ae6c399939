"""Scans that no robot may drive by are refused, and their age is what their messages say."""

import array
import math

import pytest
from sensor_msgs.msg import LaserScan

from kdmarl_core.runtime.faults import Cause, Fault
from kdmarl_ros.sensors.lidar import to_scan, turn_time

NAN, INF = math.nan, math.inf


def lidar(**values):
    return LaserScan(ranges=array.array("f", [1.0] * 11), range_min=0.1, range_max=3.5, **values)


@pytest.mark.parametrize(("farthest", "fits"), [(3.5, True), (3.4999, True), (8.0, True), (INF, True), (3.4, False)])
def test_a_lidar_sees_as_far_as_its_policy_was_trained_to(farthest, fits):
    scan = lidar()
    scan.range_max = farthest
    if fits:
        to_scan(scan, 3.5)
        return
    with pytest.raises(Fault, match="scan sees 3.4 m far, the policy was trained to see 3.5 m") as error:
        to_scan(scan, 3.5)
    assert error.value.cause is Cause.MALFORMED


@pytest.mark.parametrize("limits", [(0.1, NAN), (NAN, 3.5), (-0.1, 3.5), (3.5, 3.5), (INF, INF), (0.1, -INF)])
def test_limits_of_a_scan_that_make_no_sense_are_malformed(limits):
    scan = lidar()
    scan.range_min, scan.range_max = limits
    with pytest.raises(Fault, match="set 0 <= range_min < range_max in the lidar driver"):
        to_scan(scan)


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
