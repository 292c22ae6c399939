"""A robot that is not as in training is told of; one that is, is not."""

import numpy as np
import pytest

from kdmarl_core.contract import load_robot_types
from kdmarl_core.runtime.domain_watch import DomainWatch
from support import ROBOT_TYPES

SCOUT = load_robot_types(ROBOT_TYPES)["scout"].action
PERIOD = 0.1


def watched(cycles, motion, velocity, interval=0.1):
    watch = DomainWatch(SCOUT, PERIOD, {"scan": 10.0}, lambda: {"scan": interval})
    for _ in range(cycles):
        watch.note(motion, None if velocity is None else np.array(velocity, np.float32))
    return watch


@pytest.mark.parametrize(
    ("motion", "velocity", "words"),
    [
        ((0.5, 0.0, 0.0), (0.48, 0.0), ""),
        ((0.5, 0.0, 0.0), (0.2, 0.0), "odom says that it drives at 0.20 m/s where 0.50 are commanded"),
        ((0.5, 0.0, 0.0), (-0.5, 0.0), "odom says that it drives at -0.50"),
        ((-0.3, 0.0, 0.0), (0.0, 0.0), "drives at 0.00 m/s where -0.30"),
        ((0.0, 0.0, 1.5), (0.0, -1.5), "odom says that it turns at -1.50"),
        ((0.0, 0.0, 1.5), (0.0, 1.4), ""),
        ((0.05, 0.0, 0.1), (0.0, 0.0), ""),  # too little to tell
        ((0.5, 0.0, 0.0), None, ""),
        ((0.5, 0.3, 0.0), (0.5, 0.3, 0.0), ""),
    ],
)
def test_a_base_follows_its_commands(motion, velocity, words):
    assert words in (found := watched(300, motion, velocity).differences())
    assert bool(found) == bool(words)


def test_nothing_is_said_before_the_robot_has_driven_for_a_while():
    assert watched(45, (0.5, 0.0, 0.0), (0.0, 0.0)).differences() == ""
    watch = watched(300, (0.5, 0.0, 0.0), (0.0, 0.0))
    assert watch.differences()
    watch.reset()
    assert watch.differences() == ""


@pytest.mark.parametrize(("interval", "slow"), [(0.1, False), (0.11, False), (0.05, False), (0.2, True)])
def test_a_sensor_that_speaks_less_often_than_in_training_is_named(interval, slow):
    found = watched(300, (0.5, 0.0, 0.0), (0.5, 0.0), interval).differences()
    assert found == ("scan comes at 5.0 Hz, the policy was trained for 10 Hz" if slow else "")


def test_changing_commands_are_compared_on_average():
    """A base that obeys 0.2 s late, as commands change within the limits of acceleration."""
    watch, command, random = DomainWatch(SCOUT, PERIOD, {}, dict), 0.0, np.random.default_rng(0)
    given = [0.0, 0.0]
    for cycle in range(2000):
        if cycle % 10 == 0:
            wanted = random.uniform(-0.3, 0.8)
        command += np.clip(wanted - command, -0.15, 0.15)
        given.append(command)
        watch.note((command, 0.0, 0.0), np.array([given[-3], 0.0]))
        assert watch.differences() == ""
