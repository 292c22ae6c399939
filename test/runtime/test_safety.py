"""The last gate: whatever goes in, only what the limits allow comes out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdmarl_core.contract import DiffDrive
from kdmarl_core.contract.kinematics import Holonomic
from kdmarl_core.runtime import SafetyFilter, UnsafeCommandError

ALL = [
    DiffDrive((-0.3, 0.8), (-2.0, 2.0), 1.5, 6.0),
    Holonomic((-0.3, 0.8), (-0.5, 0.4), (-2.0, 2.0), 1.5, 1.0, 6.0),
]
ACTION = DiffDrive(linear=(-0.3, 0.8), angular=(-2.0, 2.0), linear_acceleration=1.5, angular_acceleration=6.0)
PERIOD = 0.1
anything = st.floats(width=32)


@pytest.mark.parametrize("action", ALL, ids=lambda action: action.kind)
@settings(deadline=None)
@given(data=st.data())
def test_only_allowed_commands_come_out(action, data):
    gate, last = SafetyFilter(action, PERIOD), np.zeros(action.size)
    for command in data.draw(st.lists(st.tuples(*[anything] * action.size), max_size=30)):
        if not np.isfinite(command).all():
            with pytest.raises(UnsafeCommandError, match="not finite"):
                gate(np.array(command, np.float32))
            continue
        allowed = gate(np.array(command, np.float32))
        assert (allowed >= action.low).all()
        assert (allowed <= action.high).all()
        assert (np.abs(allowed - last) <= action.acceleration * PERIOD + 1e-6).all()
        last = allowed


def test_reaches_the_command_as_fast_as_allowed():
    gate = SafetyFilter(ACTION, PERIOD)
    speeds = [gate(np.array([0.5, -1.0], np.float32)).tolist() for _ in range(5)]
    np.testing.assert_allclose(speeds, [[0.15, -0.6], [0.3, -1.0], [0.45, -1.0], [0.5, -1.0], [0.5, -1.0]], atol=1e-6)


def test_reset_starts_from_standstill():
    gate = SafetyFilter(ACTION, PERIOD)
    first = gate(np.array([0.8, 0.0], np.float32))
    assert gate(np.array([0.8, 0.0], np.float32))[0] > first[0]
    gate.reset()
    np.testing.assert_array_equal(gate(np.array([0.8, 0.0], np.float32)), first)
