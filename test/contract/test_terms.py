"""Observation terms: the same world gives the same vector, whatever the sensor."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdmarl_core.contract import (
    Discrete,
    KdmarlError,
    Readings,
    Scan,
    action_mask,
    history_length,
    observation_size,
    observe,
)
from kdmarl_core.contract.simulator_terms import ActionMask, Vector
from kdmarl_core.contract.team_terms import Neighbors, Targets
from kdmarl_core.contract.terms import (
    NEAR_GOAL,
    Goal,
    Lidar,
    PreviousAction,
    RangeSensors,
    Velocity,
    goal,
    lidar,
    range_sensors,
)
from toy import DRIVE

TURN = 2 * math.pi


def scan_of(distance, beams, angle_min=-math.pi, fov=TURN, sign=1):
    """A scan of the world in which ``distance(angle)`` is seen at each angle."""
    increment = sign * fov / beams
    angles = angle_min + increment * np.arange(beams)
    return Scan(np.array([distance(a) for a in angles], np.float32), angle_min, increment, 0.05, 10.0)


def box(angle):
    """An obstacle 1 m away between 0.5 and 1.2 rad, another 2 m behind, 5 m elsewhere."""
    angle = (angle + math.pi) % TURN - math.pi
    if 0.5 < angle < 1.2:
        return 1.0
    return 2.0 if abs(angle) > 2.9 else 5.0


@pytest.mark.parametrize(
    ("beams", "angle_min", "sign"),
    [(360, -math.pi, 1), (1440, 0.0, 1), (720, 1.3, 1), (360, math.pi, -1), (721, -math.pi, 1), (1081, 0.2, -1)],
)
def test_any_full_scan_of_one_world_gives_the_same_sectors(beams, angle_min, sign):
    expected = lidar(scan_of(box, 3600), 36, 3.5)
    got = lidar(scan_of(box, beams, angle_min, sign=sign), 36, 3.5)
    # A sector at an obstacle's edge may just miss it with coarser beams; no other may differ.
    assert (got != expected).sum() <= 2
    assert got[18 + 5] == 1.0  # 0.87 to 1.05 rad
    assert got[0] == got[-1] == 2.0
    assert got[18] == 3.5


def test_coarse_scans_take_the_nearest_beam():
    got = lidar(scan_of(lambda a: 1.0 + (abs(a) < 0.1), 8), 32, 3.5)
    assert got.shape == (32,)
    assert (got[14:18] == 2.0).all()
    assert (got[:13] == 1.0).all()


def test_narrow_field_of_view():
    scan = scan_of(box, 541, angle_min=-math.pi / 2 * 1.5, fov=1.5 * math.pi)
    got = lidar(scan, 27, 3.5, 1.5 * math.pi)
    assert got.shape == (27,)
    with pytest.raises(KdmarlError, match="360 degrees"):
        lidar(scan, 36, 3.5)


def test_special_values_follow_rep_117():
    ranges = np.full(36, 2.0, np.float32)
    ranges[[0, 1, 2, 3, 4]] = [np.nan, np.inf, -np.inf, 0.01, 99.0]
    got = lidar(Scan(ranges, -math.pi + TURN / 72, TURN / 36, 0.05, 10.0), 36, 3.5)
    assert got[:6].tolist() == pytest.approx([3.5, 3.5, 0.05, 3.5, 3.5, 2.0])


@given(st.lists(st.floats(width=32, allow_nan=True, allow_infinity=True), min_size=1, max_size=400), st.integers(1, 72))
def test_sectors_are_always_finite_and_in_range(ranges, sectors):
    scan = Scan(np.array(ranges, np.float32), 0.0, TURN / len(ranges), 0.05, 8.0)
    got = lidar(scan, sectors, 3.5)
    assert got.shape == (sectors,)
    assert got.dtype == np.float32
    assert ((got >= 0) & (got <= 3.5)).all()


@pytest.mark.parametrize(
    ("scan", "message"),
    [
        (Scan(np.zeros(0, np.float32), 0.0, 0.1, 0.05, 8.0), "no beams"),
        (Scan(np.zeros(5, np.float32), 0.0, 0.0, 0.05, 8.0), "increment"),
        (Scan(np.zeros(5, np.float32), 0.0, np.nan, 0.05, 8.0), "increment nan"),
        (Scan(np.zeros(5, np.float32), 0.0, 1e38, 0.05, 8.0), "within two turns"),
        (Scan(np.zeros(5, np.float32), -13.0, 0.1, 0.05, 8.0), "within two turns"),
        (Scan(np.zeros(5, np.float32), math.nan, 0.1, 0.05, 8.0), "finite"),
    ],
)
def test_impossible_scans_are_named(scan, message):
    with pytest.raises(KdmarlError, match=message):
        lidar(scan, 8, 3.5)


def test_terms_are_batched_over_leading_dimensions():
    rng = np.random.default_rng(0)
    readings = Readings(
        scan=Scan(rng.uniform(0, 5, (4, 3, 90)).astype(np.float32), -math.pi, TURN / 90, 0.05, 4.0),
        ranges=rng.uniform(0, 3, (4, 3, 8)),
        goal=rng.normal(size=(4, 3, 2)),
        velocity=rng.normal(size=(4, 3, 2)),
        neighbors=rng.normal(size=(4, 3, 5, 3)),
        targets=rng.normal(size=(4, 3, 7, 2)),
        previous_action=rng.normal(size=(4, 3, 2)),
        vector=rng.normal(size=(4, 3, 7)),
        available=rng.integers(0, 2, (4, 3, 5)),
    )
    terms = [
        Lidar(30, 3.5),
        RangeSensors(8, 2.0),
        Goal(5.0),
        Velocity(),
        Neighbors(2, 9.0),
        Targets(3, 5.0),
        PreviousAction(),
        Vector(7),
        ActionMask(5),
    ]
    got = observe(terms, readings)
    assert got.shape == (4, 3, observation_size(terms))
    assert got.dtype == np.float32
    one = Readings(
        readings.scan._replace(ranges=readings.scan.ranges[2, 1]),
        *(r[2, 1] for r in readings[1 : Readings._fields.index("history")]),
    )
    np.testing.assert_array_equal(observe(terms, one), got[2, 1])


def test_missing_and_misshapen_readings_are_named():
    with pytest.raises(KdmarlError, match="'lidar' needs a scan"):
        observe([Lidar(8, 3.5)], Readings())
    with pytest.raises(KdmarlError, match="velocity: got 4 values, the policy expects 2"):
        observe([Velocity()], Readings(velocity=np.zeros(4)))
    with pytest.raises(KdmarlError, match="velocity: got 2 values, the policy expects 3"):
        observe([Velocity(lateral=True)], Readings(velocity=np.zeros(2)))
    with pytest.raises(KdmarlError, match="'vector' needs a simulator's vector, which this robot does not give"):
        observe([Vector(7)], Readings())
    with pytest.raises(KdmarlError, match="vector: got 6 values, the policy expects 7"):
        observe([Vector(7)], Readings(vector=np.zeros(6)))
    with pytest.raises(KdmarlError, match="got 7 sensors, the policy expects 8"):
        range_sensors(np.zeros(7), 8, 2.0)


def test_a_velocity_has_what_its_term_asks_for():
    readings = Readings(velocity=np.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]))
    np.testing.assert_allclose(observe([Velocity()], readings), [[0.1, 0.3], [0.4, 0.6]])
    np.testing.assert_allclose(observe([Velocity(lateral=True)], readings), readings.velocity, rtol=1e-6)
    assert msgspec.to_builtins(Velocity()) == {"term": "velocity"}  # hashes of older experiments stay


def test_the_action_mask_lies_where_its_term_says_and_fits_the_actions():
    terms = [Vector(3), ActionMask(4), Velocity()]
    readings = Readings(vector=np.full(3, 0.5), available=np.array([True, False, False, True]), velocity=np.zeros(2))
    place = action_mask(terms, Discrete(4))
    assert observe(terms, readings)[place].tolist() == [1, 0, 0, 1]
    assert action_mask([Vector(3)], Discrete(4)) is None
    with pytest.raises(KdmarlError, match="the observation has one of 4, and there are 5 numbered actions"):
        action_mask(terms, Discrete(5))
    with pytest.raises(KdmarlError, match="one of 4, and there are 0 numbered actions"):
        action_mask(terms, DRIVE)
    with pytest.raises(KdmarlError, match="the observation has a second one"):
        action_mask([ActionMask(4), ActionMask(4)], Discrete(4))
    with pytest.raises(KdmarlError, match="'action_mask' needs the available actions"):
        observe([ActionMask(4)], Readings())


def test_range_sensors_clip_and_mend():
    got = range_sensors(np.array([0.5, np.nan, np.inf, -np.inf, 9.0]), 5, 2.0)
    assert got.tolist() == [0.5, 2.0, 2.0, 0.0, 2.0]


def test_goal_is_distance_and_direction():
    np.testing.assert_allclose(goal(np.array([3.0, 4.0]), 10.0), [5.0, 0.6, 0.8])
    np.testing.assert_allclose(goal(np.array([30.0, 40.0]), 10.0), [10.0, 0.6, 0.8])
    np.testing.assert_allclose(goal(np.array([NEAR_GOAL / 2, 0.0]), 10.0), [NEAR_GOAL / 2, 0.5, 0.0])
    assert goal(np.zeros(2), 10.0).tolist() == [0, 0, 0]


def test_past_readings_follow_the_present_ones():
    def readings(distance, history=()):
        scan = Scan(np.full(36, distance, np.float32), -math.pi, TURN / 36, 0.05, 10.0)
        return Readings(scan, np.full(8, distance), history=history)

    terms = [Lidar(4, 3.5, past=2), RangeSensors(8, 2.0, past=1)]
    now = readings(1.0, (readings(1.2), readings(1.4), readings(1.6)))
    assert observation_size(terms) == 8 + 16
    assert history_length(terms) == 2
    expected = [1.0] * 4 + [1.4] * 4 + [1.0] * 8 + [1.2] * 8
    assert observe(terms, now).tolist() == pytest.approx(expected)
    young = readings(1.0, (readings(1.2),))
    assert observe(terms, young)[4:8].tolist() == pytest.approx([1.2] * 4)  # the oldest there is
    assert observe(terms, readings(1.0)).tolist() == pytest.approx([1.0] * 24)
