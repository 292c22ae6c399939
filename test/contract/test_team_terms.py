"""Terms of a team: who and what is nearest, and what is left out."""

import math

import numpy as np
import pytest

from kdmarl_core.contract import KdmarlError, Readings
from kdmarl_core.contract.team_terms import Neighbors, Targets, neighbors, targets


def test_neighbors_are_sorted_and_masked():
    poses = np.array([[3.0, 0, 0], [1.0, 0, math.pi / 2], [np.nan, 0, 0], [50.0, 0, 0]])
    got = neighbors(poses, 3, 10.0).reshape(3, 5)
    np.testing.assert_allclose(got[0], [1, 0, 0, 1, 1], atol=1e-6)
    np.testing.assert_allclose(got[1], [3, 0, 1, 0, 1], atol=1e-6)
    assert (got[2] == 0).all()


def test_neighbors_with_motion_carry_velocity_and_radius():
    rows = np.array([[3.0, 0, 0, 0.5, -0.1, 0.3], [1.0, 0, math.pi / 2, 0.2, 0.4, 0.12]])
    got = neighbors(rows, 3, 10.0, motion=True).reshape(3, 8)
    np.testing.assert_allclose(got[0], [1, 0, 0, 1, 1, 0.2, 0.4, 0.12], atol=1e-6)
    np.testing.assert_allclose(got[1, 5:], [0.5, -0.1, 0.3], atol=1e-6)
    assert (got[2] == 0).all()
    assert Neighbors(3, 10.0, motion=True).size == 24
    with pytest.raises(KdmarlError, match="motion: true, and only poses are given"):
        neighbors(rows[:, :3], 3, 10.0, motion=True)


def test_targets_are_sorted_drawn_in_and_padded():
    got = targets(np.array([[3.0, 4.0], [0.0, -1.0]]), 3, 2.5).reshape(3, 3)
    np.testing.assert_allclose(got, [[0, -1, 1], [1.5, 2.0, 1], [0, 0, 0]], atol=1e-6)
    nearest = targets(np.array([[3.0, 4.0], [0.0, -1.0]]), 1, 9.0)
    np.testing.assert_allclose(nearest, [0, -1, 1])


def test_targets_with_others_put_first_what_no_other_robot_is_nearer_to():
    places = np.array([[3.0, 4.0], [0.0, -1.0], [0.0, 1.5], [2.0, 0.0]])
    robots = np.array([[0.0, -1.5, 0.0], [0.0, 2.0, 1.0], [np.nan, np.nan, np.nan]])
    got = targets(places, 5, 4.0, robots).reshape(5, 4)
    expected = [[2, 0, 1, 2.5], [2.4, 3.2, 1, math.hypot(3, 2)], [0, -1, 1, 0.5], [0, 1.5, 1, 0.5], [0, 0, 0, 0]]
    # The second is 5 m away and drawn in; another robot is 3.6 m from it, 1.4 m nearer; then 0.5 m and 1 m nearer.
    np.testing.assert_allclose(got[0], expected[0], atol=1e-6)
    np.testing.assert_allclose(got[1:4], [expected[2], expected[3], expected[1]], atol=1e-6)
    assert (got[4] == 0).all()
    alone = targets(places[:2], 2, 4.0, np.zeros((0, 3))).reshape(2, 4)
    np.testing.assert_allclose(alone, [[0, -1, 1, 4], [2.4, 3.2, 1, 4]], atol=1e-6)
    assert Targets(6, 8.0, others=True).size == 24
    with pytest.raises(KdmarlError, match="'targets' needs neighbor poses"):
        Targets(2, 8.0, others=True).compute(Readings(targets=places))
