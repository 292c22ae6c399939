"""A sensor that is mounted elsewhere sees the same world, and its terms say what is around the robot's centre."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdmarl_core.contract.readings import Scan
from kdmarl_core.contract.sensors import LidarSensor, PointCloudSensor, RangeSensorRing
from kdmarl_core.contract.sensors.base import Mounting
from kdmarl_core.contract.sensors.lidar import Lidar
from kdmarl_core.contract.sensors.sectors import lidar
from sensor_room import TURN, message_of, seen, wall

mountings = st.builds(
    Mounting, x=st.floats(-0.3, 0.3), y=st.floats(-0.3, 0.3), yaw=st.floats(-TURN, TURN), upside_down=st.booleans()
)


@settings(deadline=None)
@given(mounting=mountings, beams=st.sampled_from([180, 360, 811]))
def test_the_sectors_of_a_mounted_lidar_are_those_around_the_robot(mounting, beams):
    centred = LidarSensor(beams=3600, range=5.0)
    expected = lidar(message_of(centred), 36, 3.0)
    sensor = LidarSensor(beams=beams, range=5.0, mounting=mounting)
    got = lidar(sensor.on_robot(message_of(sensor)), 36, 3.0)
    # Between two beams the wall runs on: as far as it is from one to the next, at the flattest angle.
    np.testing.assert_allclose(got, expected, atol=3.0 * (TURN / beams + math.radians(0.1)) / math.tan(0.5))


@pytest.mark.parametrize("yaw", [0.0, math.pi / 2, -2.0])
@pytest.mark.parametrize("upside_down", [False, True])
def test_a_turned_lidar_at_the_centre_gives_the_very_same_sectors(yaw, upside_down):
    sensor = LidarSensor(beams=360, range=5.0, mounting=Mounting(yaw=yaw, upside_down=upside_down))
    own = np.arange(360) * TURN / 360 - math.pi
    np.testing.assert_allclose(sensor.rays, yaw - own if upside_down else yaw + own)
    scan = sensor.on_robot(message_of(sensor))
    ahead = lidar(scan, 4, 5.0)
    np.testing.assert_allclose(ahead, lidar(message_of(LidarSensor(beams=720, range=5.0)), 4, 5.0), atol=0.02)


@settings(deadline=None)
@given(mounting=mountings)
def test_both_simulators_cast_the_rays_that_a_message_has(mounting):
    for sensor in (
        LidarSensor(beams=90, range=5.0, fov=4.0, mounting=mounting),
        PointCloudSensor(columns=20, range=5.0, fov=1.5, heights=(-0.1, 0.5), mounting=mounting),
        RangeSensorRing(bearings=[0.0, 1.0, -2.0], range=5.0, circle=0.1, mounting=mounting),
    ):
        places = np.repeat(sensor.origins, sensor.rays.size // len(sensor.origins), axis=0)
        mujoco = {
            (*np.round((x, y), 6), *np.round((math.cos(a), math.sin(a)), 6))
            for (x, y), a in zip(places, sensor.rays, strict=True)
        }
        batched = {
            (*np.round((fan.x, fan.y), 6), *np.round((math.cos(a), math.sin(a)), 6))
            for fan in sensor.fans
            for a in fan.angles
        }
        assert mujoco == batched
        reading = sensor.from_rays(np.concatenate([fan.angles for fan in sensor.fans]))(
            np.concatenate([[wall((fan.x, fan.y), angle) for angle in fan.angles] for fan in sensor.fans])
        )
        measured = sensor.nearest(seen(sensor))
        if isinstance(sensor, LidarSensor):
            by_message = sensor.on_robot(message_of(sensor))
            order = slice(None, None, -1) if mounting.upside_down else slice(None)
            np.testing.assert_allclose(reading.ranges, by_message.ranges[order], rtol=1e-5)
            assert (reading.x, reading.y) == (by_message.x, by_message.y) == (mounting.x, mounting.y)
            last = reading.angle_min + reading.angle_increment * (sensor.beams - 1)
            assert by_message.angle_min == pytest.approx(last if mounting.upside_down else reading.angle_min)
        elif isinstance(sensor, PointCloudSensor):
            np.testing.assert_allclose(reading.ranges, measured, rtol=1e-5)
        else:
            np.testing.assert_allclose(reading, measured, rtol=1e-5)


def test_an_obstacle_counts_in_the_sector_where_it_is_from_the_centre():
    sensor = LidarSensor(beams=360, range=5.0, mounting=Mounting(x=-0.2))
    ranges = np.full(360, np.inf, np.float32)
    ranges[180 + 45] = 0.2 * math.sqrt(2)  # 45° to the left of a lidar 0.2 m behind: abeam of the centre
    scan = sensor.on_robot(sensor.from_rays(sensor.rays)(ranges))
    sectors = lidar(scan, 36, 3.0)
    assert sectors[17 + 9] == pytest.approx(0.2, abs=2e-3) or sectors[18 + 9] == pytest.approx(0.2, abs=2e-3)
    assert (np.sort(sectors)[2:] == 3.0).all()


def test_beams_at_the_robot_itself_say_nothing():
    sensor = LidarSensor(beams=360, range=5.0, hidden=[(1.0, 1.1)], ignore_below=0.14)
    ranges = np.full(360, 2.0, np.float32)
    ranges[[0, 100]] = 0.13
    scan = sensor.on_robot(message_of(sensor)._replace(ranges=ranges))
    expected = (sensor.own_angles >= 1.0) & (sensor.own_angles <= 1.1)
    assert expected.sum() == 6
    expected[[0, 100]] = True
    np.testing.assert_array_equal(np.isnan(scan.ranges), expected)


@pytest.mark.parametrize(("range_min", "silent"), [(0.1, True), (0.3, False)])
def test_too_near_is_the_robot_itself_only_where_that_is_known(range_min, silent):
    sensor = LidarSensor(beams=4, range=5.0, ignore_below=0.2)
    scan = sensor.on_robot(Scan(np.array([-np.inf, 0.25, 1.0, np.inf], np.float32), 0.0, 1.5, range_min, 5.0))
    np.testing.assert_array_equal(scan.ranges, [np.nan if silent else -np.inf, 0.25, 1.0, np.inf])


@pytest.mark.parametrize(("misses", "value"), [("nan", np.nan), ("zero", 0.0), ("inf", np.inf)])
def test_what_a_driver_sends_where_nothing_is_seen(misses, value):
    sensor = LidarSensor(beams=4, range=5.0, misses=misses)
    sent = sensor.as_sent(np.array([np.inf, 1.0, -np.inf, 2.0], np.float32))
    np.testing.assert_array_equal(sent, np.array([value, 1.0, -np.inf, 2.0], np.float32))
    np.testing.assert_array_equal(sensor.with_misses(sent), [np.inf, 1.0, -np.inf, 2.0])


@pytest.mark.parametrize(
    ("sensor", "words"),
    [
        (LidarSensor(beams=9, range=3.5, fov=4.6), "needs a lidar that looks 2.36 rad to each side"),
        (LidarSensor(beams=9, range=3.5, fov=5.0, mounting=Mounting(yaw=0.5)), "the robot's looks from -2.00 to 3.00"),
        (LidarSensor(beams=9, range=3.5, fov=5.0, mounting=Mounting(yaw=0.1)), None),
        (LidarSensor(beams=9, range=3.5, fov=6.28, mounting=Mounting(yaw=3.0)), None),
    ],
)
def test_a_lidar_has_to_look_where_the_policy_does(sensor, words):
    term = Lidar(sectors=9, range=3.5, fov=4.712)
    found = term.lacks(sensor)
    assert term.untrainable(sensor) == "; ".join(found)
    if words is None:
        assert found == []
    else:
        assert words in found[0]


def test_all_around_is_all_around_whatever_the_rounding():
    assert Lidar(sectors=9, range=3.5).lacks(LidarSensor(beams=9, range=3.5, fov=6.28)) == []


def test_spans_of_hidden_beams_are_in_order():
    with pytest.raises(msgspec.ValidationError, match=r"hidden has \[1.0, 0.5\]; give \[from, to\]"):
        msgspec.convert({"beams": 4, "range": 1.0, "hidden": [[1.0, 0.5]]}, LidarSensor)
