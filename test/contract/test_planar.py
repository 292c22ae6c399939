"""Transforms in the plane, against matrices."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdmarl_core.contract.planar import Planar

planars = st.builds(Planar, *(st.floats(-10, 10) for _ in range(3)))


def matrix(planar):
    cos, sin = math.cos(planar.yaw), math.sin(planar.yaw)
    return np.array([[cos, -sin, planar.x], [sin, cos, planar.y], [0, 0, 1]])


@given(planars, planars)
def test_they_are_what_matrices_are(one, other):
    np.testing.assert_allclose(matrix(one @ other), matrix(one) @ matrix(other), atol=1e-9)
    np.testing.assert_allclose(matrix(one.inverse), np.linalg.inv(matrix(one)), atol=1e-9)


def test_they_differ_by_a_distance_and_an_angle():
    assert Planar(3.0, 4.0, 3.0).differs(Planar(0.0, 0.0, -3.0)) == pytest.approx((5.0, 2 * math.pi - 6))
