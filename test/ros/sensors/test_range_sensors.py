"""Distances are what the messages of range sensors say, and refused where too many say nothing."""

import math

import pytest
from sensor_msgs.msg import Range

from kdmarl_core.contract.sensors import RangeSensorRing, RangeSensors
from kdmarl_core.contract.sensors.base import Mounting
from kdmarl_core.runtime.faults import Cause, Fault
from kdmarl_ros.sensors.range_sensors import Topics, to_ranges

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(("farthest", "fits"), [(3.5, True), (3.4999, True), (8.0, True), (INF, True), (3.4, False)])
def test_a_sensor_sees_as_far_as_its_policy_was_trained_to(farthest, fits):
    sonar = Range(range=1.0, max_range=farthest)
    if fits:
        to_ranges([sonar], 3.5)
        return
    with pytest.raises(Fault, match="range_0 sees 3.4 m far, the policy was trained to see 3.5 m") as error:
        to_ranges([sonar], 3.5)
    assert error.value.cause is Cause.MALFORMED


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


@pytest.mark.parametrize("value", [NAN, 0.0])
def test_range_sensors_that_mostly_say_nothing_are_malformed(value):
    nothing = Range(range=value, min_range=0.05, max_range=2.0)
    with pytest.raises(Fault, match="2 of 3 range sensors give NaN, or 0 below their min_range"):
        to_ranges([nothing, nothing, Range(range=1.0, min_range=0.05, max_range=2.0)])


def test_each_sensor_has_a_mounting_of_its_own():
    ring = RangeSensorRing(bearings=[0.0, 1.5], range=1.0, circle=0.1, mounting=Mounting(x=0.02, yaw=0.5))
    found = Topics([RangeSensors(count=2, range=1.0)], [None, None], ring).mountings
    for each, yaw in zip(found, (0.5, 2.0), strict=True):
        expected = (0.02 + 0.1 * math.cos(yaw), 0.1 * math.sin(yaw), yaw)
        assert (each.x, each.y, each.yaw) == pytest.approx(expected)
