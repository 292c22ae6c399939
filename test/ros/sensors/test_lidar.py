"""Scans that no robot may drive by are refused, and their age is what their messages say."""

import array
import math

import numpy as np
import pytest
from sensor_msgs.msg import LaserScan

from kdmarl_core.contract.sensors import LidarSensor
from kdmarl_core.contract.sensors.base import Mounting
from kdmarl_core.runtime.faults import Cause, Fault
from kdmarl_ros.sensors.lidar import Topics, to_scan, turn_time

NAN, INF = math.nan, math.inf
SENSOR = LidarSensor(beams=11, range=3.5, fov=2.2)


def lidar(angle_min=-1.0, angle_increment=0.2, **values):
    ranges = array.array("f", [1.0] * 11)
    return LaserScan(
        ranges=ranges, range_min=0.1, range_max=3.5, angle_min=angle_min, angle_increment=angle_increment, **values
    )


@pytest.mark.parametrize(("farthest", "fits"), [(3.5, True), (3.4999, True), (8.0, True), (INF, True), (3.4, False)])
def test_a_lidar_sees_as_far_as_its_policy_was_trained_to(farthest, fits):
    scan = lidar()
    scan.range_max = farthest
    if fits:
        to_scan(scan, SENSOR, 3.5)
        return
    with pytest.raises(Fault, match="scan sees 3.4 m far, the policy was trained to see 3.5 m") as error:
        to_scan(scan, SENSOR, 3.5)
    assert error.value.cause is Cause.MALFORMED


@pytest.mark.parametrize("limits", [(0.1, NAN), (NAN, 3.5), (-0.1, 3.5), (3.5, 3.5), (INF, INF), (0.1, -INF)])
def test_limits_of_a_scan_that_make_no_sense_are_malformed(limits):
    scan = lidar()
    scan.range_min, scan.range_max = limits
    with pytest.raises(Fault, match="set 0 <= range_min < range_max in the lidar driver"):
        to_scan(scan, SENSOR)


@pytest.mark.parametrize(
    ("fov", "first", "fits"),
    [
        (2.0, -1.0, True), (2.4, -1.0, True), (2.6, -1.0, False), (2 * math.pi, -1.0, False),
        (2.0, -1.0 + 2 * math.pi, True), (2.0, 0.0, False), (2.0, -2.0, False),
    ],
)  # fmt: skip
def test_a_lidar_looks_where_its_robot_type_says(fov, first, fits):
    sensor = LidarSensor(beams=11, range=3.5, fov=fov)
    if fits:
        to_scan(lidar(first), sensor)
        return
    with pytest.raises(Fault, match=f"scan_rear looks from .* rad, the robot type says from -{fov / 2:.2f} to"):
        to_scan(lidar(first), sensor, 0.0, "scan_rear")


def test_a_lidar_that_looks_all_around_may_count_from_anywhere():
    for first in (-math.pi, 0.0, 1.0):
        to_scan(lidar(first, 2 * math.pi / 11), LidarSensor(beams=11, range=3.5))


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


def test_a_scan_is_in_the_robot_frame_as_the_lidar_is_mounted():
    sensor = LidarSensor(beams=11, range=3.5, fov=2.2, mounting=Mounting(x=-0.04, yaw=1.5, upside_down=True))
    scan = to_scan(lidar(), sensor, 3.5)
    assert (scan.angle_min, scan.angle_increment, scan.x, scan.y) == pytest.approx((2.5, -0.2, -0.04, 0.0))


@pytest.mark.parametrize(("misses", "sent"), [("zero", 0.0), ("nan", NAN)])
def test_a_lidar_that_sees_nothing_is_not_blind_whatever_its_driver_sends(misses, sent):
    message = lidar()
    message.ranges = array.array("f", [sent] * 10 + [1.0])
    with pytest.raises(Fault, match="10 of 11 beams of scan are invalid; check the lidar, or say what it sends"):
        to_scan(message, SENSOR)
    scan = to_scan(message, LidarSensor(beams=11, range=3.5, fov=2.2, misses=misses))
    assert (scan.ranges[:10] == INF).all()


def test_what_the_simulator_sends_is_read_back():
    sensor = LidarSensor(beams=11, range=3.5, misses="zero", hidden=[(0.2, 0.4)], ignore_below=0.14)
    (message,) = Topics.messages(sensor, "r1/", 0.2)
    Topics.fill(sensor, [message], np.array([INF, 1.0, -INF] + [2.0] * 8, np.float32))
    assert message.scan_time == pytest.approx(0.2)
    scan = to_scan(message, sensor, 3.5)
    hidden = sensor.hides(sensor.angle_min, sensor.angle_increment, 11)
    assert hidden.sum() == 1
    assert np.isnan(scan.ranges[hidden]).all()
    assert scan.ranges[0] == INF


def test_a_lidar_that_is_covered_is_blind_whatever_it_takes_for_its_robot():
    sensor = LidarSensor(beams=11, range=3.5, fov=2.2, ignore_below=0.14, hidden=[(-0.1, 0.1)])
    message = lidar()
    message.ranges = array.array("f", [0.12] * 11)
    with pytest.raises(Fault, match=r"10 of 10 beams of scan see the robot itself \(nearer than ignore"):
        to_scan(message, sensor, 3.5)
    message.ranges = array.array("f", [0.12] * 4 + [1.0] * 7)
    assert np.isnan(to_scan(message, sensor, 3.5).ranges).sum() == 5
