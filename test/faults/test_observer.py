"""The soak's onlooker: it lets good commands pass, and none of the bad."""

import pytest
from geometry_msgs.msg import Twist
from lifecycle_msgs.msg import TransitionEvent

from faults.harness import AGED, AT_ONCE, PERIOD, ROBOT_TYPES, SENSORS
from faults.observer import Watch
from kdmarl_core.contract import load_robot_types
from node_process import Client
from robot_body import SENSOR_PERIOD, fill, place, sensor_message, stamp


@pytest.fixture(scope="module")
def client():
    client = Client()
    yield client
    client.close()


@pytest.fixture
def watch(client, tmp_path):
    """Of a robot that has heard every sensor until second 100, and drives."""
    types = tmp_path / "robots.yaml"
    types.write_text(ROBOT_TYPES)
    watch = Watch(client.node, "/r1", load_robot_types(types)["probe"].action)
    for topic in SENSORS:
        hear(watch, topic, 100.0)
    command(watch, 100.0)  # the first is compared with none
    assert not watch.violations
    return watch


def at(seconds):
    return {"source_timestamp": round(seconds * 1e9)}


def hear(watch, topic, seconds, stamped=None, **fields):
    message = sensor_message(topic)
    stamp(message, stamped or seconds)
    fill(topic, message)
    for name, value in fields.items():
        setattr(message, name, value)
    watch._sensor(topic)(message, at(seconds))


def command(watch, seconds, speed=0.1):
    twist = Twist()
    twist.linear.x = speed
    watch._command(twist, at(seconds))


def test_time_without_input_is_measured_from_its_last_valid_message(watch):
    command(watch, 100.0 + AGED - 0.01)
    assert not watch.violations
    for topic in SENSORS[1:]:
        hear(watch, topic, 100.5)
    hear(watch, "scan", 100.5, range_max=-1.0)
    hear(watch, "scan", 100.5 + SENSOR_PERIOD, stamped=90.0)
    command(watch, 100.5 + AGED - 0.01)
    assert watch.descriptions == [f"r1 moves {0.5 + AGED - 0.01:.3f} s after the last valid scan"]
    command(watch, 102.0, speed=0.0)
    assert watch.violations == 1


@pytest.mark.parametrize("speed", [0.9, float("nan"), 0.1 + 0.16])
def test_commands_beyond_the_limits_are_wrong(watch, speed):
    command(watch, 100.1, speed)
    assert watch.violations >= 1


def test_bad_orders_and_deactivation_forbid_motion_until_they_are_over(watch):
    watch._order("goal_pose")(place(1.0, 1.0, "odom"), at(100.0))
    command(watch, 100.0 + PERIOD)
    assert not watch.violations
    command(watch, 100.0 + AT_ONCE + 0.01)
    assert watch.violations == 1
    watch._order("goal_pose")(place(1.0, 1.0), at(100.2))
    command(watch, 100.3)
    assert watch.violations == 1
    for label, since, moved, violations in (("inactive", 100.3, 100.5, 1), ("active", 100.55, 100.6, 2)):
        event = TransitionEvent()
        event.goal_state.label = label
        watch._transition(event, at(since))
        command(watch, moved)
        assert watch.violations == violations
