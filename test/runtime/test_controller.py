"""One cycle: terms, policy and limits together, as in training."""

import msgspec
import numpy as np
import pytest

from kdmarl_core.contract import Discrete, KdmarlError, Readings, Scan, load_robot_types, observe
from kdmarl_core.contract.terms import Goal, Lidar
from kdmarl_core.runtime import Controller, Policy, UnsafeCommandError
from support import ROBOT_TYPES, write_policy

SCOUT = load_robot_types(ROBOT_TYPES)["scout"]
READINGS = Readings(
    scan=Scan(np.full(360, 2.0, np.float32), -np.pi, 2 * np.pi / 360, 0.05, 3.5),
    goal=np.array([2.0, 1.0], np.float32),
    velocity=np.zeros(2, np.float32),
)


def test_sees_its_own_wish_as_previous_action(tmp_path):
    """Training feeds the policy's command back, before any limit on acceleration."""
    policy = Policy.load(write_policy(tmp_path / "p.onnx"))
    controller = Controller(policy, "scout", SCOUT)
    seen = []

    def spy(observation):
        seen.append(observation[-2:].tolist())
        return np.array([0.5, 1.8], np.float32)

    controller.policy = spy
    commands = [controller(READINGS).tolist() for _ in range(2)]
    np.testing.assert_allclose(seen, [[0.0, 0.0], [0.5, 1.8]])
    np.testing.assert_allclose(commands, [[0.15, 0.6], [0.3, 1.2]], atol=1e-6)


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [([0.8, -2.0], True), ([0.8001, 2.001], True), ([0.81, 0.0], False), ([-0.31, 0.0], False), ([0.5, 9.0], False)],
)
def test_refuses_commands_outside_the_action_space_but_for_rounding(tmp_path, wanted, fits):
    controller = Controller(Policy.load(write_policy(tmp_path / "p.onnx")), "scout", SCOUT)
    controller.policy = lambda observation: np.array(wanted, np.float32)
    if fits:
        for _ in range(20):
            command = controller(READINGS)
        np.testing.assert_allclose(command, np.clip(wanted, SCOUT.action.low, SCOUT.action.high), rtol=1e-6)
    else:
        with pytest.raises(UnsafeCommandError, match="outside its action space"):
            controller(READINGS)


def test_settles_at_the_policys_command(tmp_path):
    policy = Policy.load(write_policy(tmp_path / "p.onnx"))
    controller = Controller(policy, "scout", SCOUT)
    for _ in range(20):
        command = controller(READINGS)
    expected = policy(observe(policy.manifest.observation, READINGS._replace(previous_action=np.zeros(2))))
    np.testing.assert_allclose(command, expected, rtol=1e-6)


def test_takes_the_smaller_acceleration(tmp_path):
    slow = msgspec.structs.replace(SCOUT, action=msgspec.structs.replace(SCOUT.action, linear_acceleration=0.1))
    controller = Controller(Policy.load(write_policy(tmp_path / "p.onnx")), "scout", slow)
    assert controller(READINGS)[0] == pytest.approx(0.01)


def test_take_over_goes_on_from_the_last_command(tmp_path):
    path = write_policy(tmp_path / "p.onnx")
    old, new = (Controller(Policy.load(path), "scout", SCOUT) for _ in range(2))
    for _ in range(4):
        old(READINGS)
    new.take_over(old)
    np.testing.assert_array_equal(new(READINGS), old(READINGS))


def test_take_over_keeps_the_newest_readings_that_are_as_far_apart(tmp_path):
    def controller(past, period=0.1):
        observation = [Lidar(sectors=36, range=3.5, past=past), Goal(range=5.0)]
        path = write_policy(tmp_path / "p.onnx", observation=observation, control_period=period)
        return Controller(Policy.load(path), "scout", SCOUT)

    old = controller(4)
    for distance in (1.0, 2.0, 3.0, 4.0):
        old(READINGS._replace(goal=np.array([distance, 0.0])))
    for new, kept in ((controller(2), [4.0, 3.0]), (controller(0), []), (controller(2, 0.05), [])):
        new.take_over(old)
        assert [readings.goal[0] for readings in new._history] == kept
        assert new._filter.last.tolist() == old._filter.last.tolist()


def test_a_guard_covers_one_that_brakes_no_faster_and_looks_no_more_often(tmp_path):
    def controller(period=0.1, guarded=True, **changes):
        action = msgspec.structs.replace(SCOUT.action, **changes)
        path = write_policy(tmp_path / "p.onnx", action=action, control_period=period)
        return Controller(Policy.load(path), "scout", SCOUT, guarded)

    old = controller(linear_acceleration=1.0)
    assert controller(linear_acceleration=1.0).guards_like(old)
    assert controller(0.05).guards_like(old)
    assert not controller(linear_acceleration=0.9).guards_like(old)
    assert not controller(angular_acceleration=3.0).guards_like(old)
    assert not controller(0.2).guards_like(old)
    assert controller(0.2, guarded=False).guards_like(controller(guarded=False))


def test_braking_takes_as_long_as_the_slower_of_both_speeds(tmp_path):
    controller = Controller(Policy.load(write_policy(tmp_path / "p.onnx")), "scout", SCOUT)
    assert controller.braking_time(0.75, 1.0) == pytest.approx(0.5)
    assert controller.braking_time(-0.15, -2.0) == pytest.approx(1 / 3)
    assert controller.braking_time(0.0, 0.0) == 0


def test_a_holonomic_robot_is_commanded_by_its_own_values(tmp_path):
    omni = load_robot_types(ROBOT_TYPES)["omni"]
    controller = Controller(Policy.load(write_policy(tmp_path / "p.onnx", "omni")), "omni", omni)
    readings = READINGS._replace(velocity=np.zeros(3, np.float32))
    for _ in range(20):
        command = controller(readings)
    assert command.shape == (3,)
    assert command[0] > 0.1
    assert command[1] > 0.1  # the goal is ahead and to the left
    assert controller.motion(tuple(command.tolist())) == tuple(command.tolist())
    assert controller.braking_time(0.3, -0.6, 2.0) == pytest.approx(0.5)
    with pytest.raises(KdmarlError, match="space is diff_drive, the robot drives by holonomic commands; use another"):
        Controller(Policy.load(write_policy(tmp_path / "q.onnx", "omni", action=SCOUT.action)), "omni", omni)
    scout = Controller(Policy.load(write_policy(tmp_path / "s.onnx")), "scout", SCOUT)
    assert scout.motion((0.5, -0.25)) == (0.5, 0.0, -0.25)


def test_memory_is_forgotten_by_a_reset_and_not_taken_over(tmp_path):
    path = write_policy(tmp_path / "p.onnx", recurrent=True)
    old, new, fresh = (Controller(Policy.load(path), "scout", SCOUT) for _ in range(3))
    for _ in range(4):
        old(READINGS)
    assert np.abs(old.policy.state[0]).max() > 0
    new.take_over(old)  # states of another policy mean nothing to this one
    assert np.abs(new.policy.state[0]).max() == 0
    old.reset()
    np.testing.assert_array_equal(old(READINGS), fresh(READINGS))
    np.testing.assert_array_equal(old.policy.state[0], fresh.policy.state[0])


@pytest.mark.parametrize(
    ("robot_type", "options", "reason"),
    [
        ("carrier", {}, "for robot type 'scout', this robot is a 'carrier'"),
        ("scout", {"action": Discrete(n=3)}, "discrete"),
        ("scout", {"robot": load_robot_types(ROBOT_TYPES)["mini"]}, "range sensors, the robot has 0"),
    ],
)
def test_refuses_another_robots_policy(tmp_path, robot_type, options, reason):
    policy = Policy.load(write_policy(tmp_path / "p.onnx", "scout", **options))
    with pytest.raises(KdmarlError, match=reason):
        Controller(policy, robot_type, load_robot_types(ROBOT_TYPES)[robot_type])


def test_refuses_what_is_not_finite(tmp_path):
    controller = Controller(Policy.load(write_policy(tmp_path / "p.onnx")), "scout", SCOUT)
    with pytest.raises(KdmarlError, match="not finite"):
        controller(READINGS._replace(goal=np.array([np.nan, 0.0])))
    with pytest.raises(KdmarlError, match="no beams"):
        controller(READINGS._replace(scan=Scan(np.zeros(0), 0.0, 0.1, 0.05, 3.5)))
