"""Trials that fail get few second chances, and none of them in silence."""

import pytest

from faults.retries import Retries


class Machine:
    """One whose trials fail as often as said after each healing."""

    def __init__(self, failures):
        self.failures = failures
        self.healed = 0

    def trial(self):
        self.failures -= 1
        assert self.failures < 0, f"{self.failures} more to come"

    def heal(self):
        self.healed += 1


def test_a_trial_that_holds_needs_none(recwarn):
    retries, machine = Retries(1), Machine(failures=0)
    retries.run(machine.trial, machine.heal)
    assert (retries.left, machine.healed, len(recwarn)) == (1, 0, 0)


def test_a_failure_is_reported_healed_and_tried_once_more():
    retries, machine = Retries(3), Machine(failures=1)
    with pytest.warns(UserWarning, match=r"2 retries left.*after: 0 more to come"):
        retries.run(machine.trial, machine.heal)
    assert (retries.left, machine.healed) == (2, 1)


def test_nothing_fails_twice_with_impunity():
    machine = Machine(failures=2)
    with pytest.warns(UserWarning, match="1 more to come"), pytest.raises(AssertionError, match="0 more to come"):
        Retries(3).run(machine.trial, machine.heal)


def test_there_are_no_more_than_said_in_all_and_what_comes_after_is_healed_all_the_same():
    retries, machine = Retries(1), Machine(failures=1)
    with pytest.warns(UserWarning, match="0 retries left"):
        retries.run(machine.trial, machine.heal)
    machine.failures = 1
    with pytest.raises(AssertionError):
        retries.run(machine.trial, machine.heal)
    assert machine.healed == 2
