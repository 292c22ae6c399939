"""Every kinematics: its commands as motion over ground and back, its limits, and who may follow whose commands."""

import msgspec
import numpy as np
import pytest

from kdmarl_core.contract import Box, DiffDrive, Discrete, KdmarlError, RobotType
from kdmarl_core.contract.kinematics import KINDS, Holonomic, require_kinematics, with_lower_accelerations

DRIVE = DiffDrive((-0.3, 0.8), (-2.0, 2.0), 1.5, 6.0)
OMNI = Holonomic((-0.5, 0.6), (-0.4, 0.5), (-2.0, 2.0), 1.5, 1.2, 6.0)
ALL = [DRIVE, OMNI]


def test_there_is_an_example_of_each():
    assert [type(example) for example in ALL] == list(KINDS)


@pytest.mark.parametrize("kinematics", ALL, ids=lambda each: each.kind)
def test_commands_are_motions_and_back(kinematics):
    commands = np.random.default_rng(0).uniform(kinematics.low, kinematics.high, (5, 4, kinematics.size))
    motion = kinematics.body_velocity(commands)
    assert motion.shape == (5, 4, 3)
    np.testing.assert_allclose(kinematics.command(motion), commands)
    assert np.hypot(motion[..., 0], motion[..., 1]).max() <= kinematics.top_speed + 1e-6
    np.testing.assert_array_equal(kinematics.body_velocity(0 * commands), 0)
    assert kinematics.measured(commands).shape[-1] == (3 if kinematics.sideways else 2)
    # Only what is before the last value moves the robot over ground; half of it moves it half as fast, the same way.
    turning = kinematics.body_velocity(commands * np.append(np.zeros(kinematics.size - 1), 1.0))
    np.testing.assert_array_equal(turning[..., :2], 0)
    half = kinematics.body_velocity(commands * np.append(np.full(kinematics.size - 1, 0.5), 1.0))
    np.testing.assert_allclose(half[..., :2], motion[..., :2] / 2)


@pytest.mark.parametrize("kinematics", ALL, ids=lambda each: each.kind)
def test_limits(kinematics):
    assert kinematics.low.dtype == kinematics.high.dtype == kinematics.acceleration.dtype == np.float32
    assert len(kinematics.low) == len(kinematics.high) == len(kinematics.acceleration) == kinematics.size
    axis = kinematics.axes[0]
    narrower = msgspec.structs.replace(kinematics, **{axis.limits: (0.0, 0.1), axis.acceleration: 0.2})
    assert narrower.within(kinematics)
    assert not kinematics.within(narrower)
    assert getattr(with_lower_accelerations(kinematics, narrower), axis.acceleration) == 0.2
    for wrong in ((0.1, 0.2), (-0.1, 0.0), (-1.0, float("nan"))):
        with pytest.raises(ValueError, match=f"{axis.limits} is .*; give .lowest, highest. with lowest <= 0 < highest"):
            msgspec.structs.replace(kinematics, **{axis.limits: wrong})


@pytest.mark.parametrize("kinematics", ALL, ids=lambda each: each.kind)
def test_files_say_it_by_its_kind(kinematics):
    data = msgspec.to_builtins(kinematics)
    assert data["kind"] == kinematics.kind
    assert msgspec.convert({"radius": 0.1, "sensors": {}, "action": data}, RobotType).action == kinematics


def test_a_differential_drive_in_words():
    assert DRIVE.words() == "-0.3 to 0.8 m/s, -2 to 2 rad/s"
    assert DRIVE.units == "m/s, rad/s"
    assert DiffDrive.describe() == "forward speed [m/s] and yaw rate [rad/s]"


def test_a_holonomic_base():
    assert OMNI.words() == "-0.5 to 0.6 m/s, -0.4 to 0.5 m/s, -2 to 2 rad/s"
    assert OMNI.units == "m/s, m/s, rad/s"
    assert Holonomic.describe() == "forward speed [m/s], speed to the left [m/s] and yaw rate [rad/s]"
    assert OMNI.top_speed == pytest.approx(np.hypot(0.6, 0.5))
    # Of a sideways motion a differential drive can follow only the rest.
    assert DRIVE.command(np.array([0.1, 0.2, 0.3])).tolist() == [0.1, 0.3]


def test_a_policy_of_another_kinematics_is_refused():
    for own, other in ((DRIVE, OMNI), (OMNI, DRIVE)):
        with pytest.raises(KdmarlError) as error:
            require_kinematics(other, "p.onnx", own)
        assert str(error.value) == (
            f"p.onnx: action space is {other.kind}, the robot drives by {own.kind} commands; use another policy"
        )
        assert require_kinematics(other, "p.onnx") is other
        assert not other.within(own)


@pytest.mark.parametrize("space", [Discrete(3), Box((0.0,), (1.0,))], ids=["discrete", "box"])
def test_what_is_not_motion_cannot_be_followed(space):
    tag = type(space).__struct_config__.tag
    with pytest.raises(KdmarlError, match=f"p.onnx: action space is {tag}, the robot drives by diff_drive"):
        require_kinematics(space, "p.onnx")
    with pytest.raises(KdmarlError, match="the robot drives by diff_drive commands; use another policy"):
        require_kinematics(space, "p.onnx", DRIVE)
    assert require_kinematics(DRIVE, "p.onnx", DRIVE) is DRIVE
