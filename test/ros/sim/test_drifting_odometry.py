"""A simulated robot's odometry drifts as it drives; the localisation does not."""

import math

import numpy as np
import pytest

from kdmarl_core.contract.planar import Planar
from kdmarl_ros.sim.drifting_odometry import GAIN, POSE_NOISE, DriftingOdometry

START = Planar(2.0, -1.0, 2.0)


def drive(odometry, metres):
    """In an arc from the start; where the robot is, and what odometry says."""
    for step in range(round(metres * 100) + 1):
        true = START @ Planar(math.sin(step / 100), 1 - math.cos(step / 100), step / 100)
        measured = odometry.measure(true)
    return true, measured


def test_it_starts_at_zero_and_stays_there_while_the_robot_stands():
    odometry = DriftingOdometry(np.random.default_rng(0))
    for _ in range(100):
        assert odometry.measure(START).differs(Planar()) == pytest.approx((0, 0), abs=1e-12)


def test_the_error_grows_with_the_way():
    short, long = [], []
    for seed in range(40):
        for metres, errors in ((1.0, short), (10.0, long)):
            true, measured = drive(DriftingOdometry(np.random.default_rng(seed)), metres)
            errors.append((START @ measured).differs(true)[1])
    assert 0 < np.mean(short) < 0.1
    assert np.mean(long) == pytest.approx(10 * np.mean(short), rel=0.05)
    assert np.mean(long) > 5 * GAIN


def test_the_same_seed_gives_the_same():
    one, other = (drive(DriftingOdometry(np.random.default_rng(3)), 2.0) for _ in range(2))
    assert one == other


def test_the_localisation_is_right_but_for_noise():
    odometry = DriftingOdometry(np.random.default_rng(0))
    errors = np.array([np.subtract(odometry.localise(START), START) for _ in range(2000)])
    np.testing.assert_allclose(errors.std(0), [POSE_NOISE[0], POSE_NOISE[0], POSE_NOISE[1]], rtol=0.1)
    np.testing.assert_allclose(errors.mean(0), 0, atol=0.002)
