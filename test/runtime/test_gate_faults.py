"""What the gate makes of each kind of trouble, and what it says."""

import pytest

from kdmarl_core.contract import KdmarlError
from kdmarl_core.runtime import Gate, TooOldError, UnsafeCommandError
from kdmarl_core.runtime.faults import Cause, Fault
from kdmarl_core.runtime.gate import Act, Moment

SECOND = 1_000_000_000
PERIOD, TIMEOUT = 0.1, 0.5
ERRORS = {
    TooOldError("the scan is too old"): (Cause.STALE, "the scan is too old"),
    UnsafeCommandError("it commands NaN"): (Cause.OUTPUT, "it commands NaN; replace the policy file"),
    KdmarlError("scan has no beams"): (Cause.MALFORMED, "scan has no beams"),
    RuntimeError("cheese"): (Cause.INTERNAL, "internal error: RuntimeError('cheese'); see the log"),
    Fault(Cause.NO_GOAL, "waiting for a goal"): (Cause.NO_GOAL, "waiting for a goal"),
}


@pytest.fixture
def forgotten():
    """An entry for each time that the gate had the received messages discarded."""
    return []


@pytest.fixture
def gate(forgotten):
    return Gate(PERIOD, TIMEOUT, lambda linear, angular: 0.65 * linear, lambda: forgotten.append("forget"))


def at(seconds, ros=None, is_simulated=True):
    return Moment(round((100 + seconds if ros is None else ros) * SECOND), round(seconds * SECOND), is_simulated)


def drive():
    return 1.0, 0.0


def fail(error):
    def work():
        raise error

    return work


def acts(gate, *works, since=0.0):
    """What comes of cycles one after the other."""
    return [gate.cycle(at(since + PERIOD * (1 + index)), work).act.value for index, work in enumerate(works)]


def test_one_stop_then_silence_until_the_body_rests(gate):
    gate.open(at(0))
    assert acts(gate, drive, drive) == ["drive", "drive"]
    assert acts(gate, fail(Fault(Cause.STALE, "old")), since=0.2) == ["stop"]
    gate.stop_given()
    assert acts(gate, fail(Fault(Cause.STALE, "old")), *[drive] * 7, since=0.3) == ["silent"] * 7 + ["drive"]


@pytest.mark.parametrize(
    "bad",
    [
        lambda gate: gate.cycle(at(0.3), fail(Fault(Cause.STALE, "old"))),
        lambda gate: gate.cycle(at(0.3), fail(Fault(Cause.MISSING, "not yet there"))),
        lambda gate: gate.watch(at(0.3), fail(Fault(Cause.MISSING, "not yet there"))),
        lambda gate: [gate.trust_clock("/clock says no time"), gate.trust_clock("")],
        lambda gate: gate.pause(at(0.3), "for once"),
        lambda gate: gate.change(PERIOD, TIMEOUT, lambda linear, angular: 0.0),
    ],
    ids=["stale", "missing", "watchdog", "clock", "pause", "change"],
)
def test_what_is_bad_ends_a_row_of_good_cycles(gate, bad):
    gate.open(at(0))
    gate.pause(at(0), "at first")
    gate.stop_given()
    assert acts(gate, drive, drive) == ["silent", "silent"]
    bad(gate)
    assert acts(gate, drive, drive, drive, since=0.3) == ["silent", "silent", "drive"]


def test_an_open_gate_knows_no_clock_of_before(gate, forgotten):
    gate.open(at(0))
    gate.close()
    gate.stop_given()
    gate.open(at(1, 50))
    assert gate.watch(at(1.1, 50.1), lambda: None) is None
    assert not forgotten


def test_a_stop_that_is_not_given_is_asked_for_again(gate):
    gate.open(at(0))
    assert acts(gate, drive) == ["drive"]
    for _ in range(2):
        assert gate.close().act is Act.STOP
        assert not gate.standing
    gate.stop_given()
    assert gate.standing
    assert gate.close().act is Act.SILENT


@pytest.mark.parametrize(("error", "cause", "reason"), [(error, *said) for error, said in ERRORS.items()])
def test_errors_of_a_cycle_stop_the_robot_by_their_type(gate, error, cause, reason):
    gate.open(at(0))
    acts(gate, drive)
    verdict = gate.cycle(at(0.2), fail(error))
    assert verdict.act is Act.STOP
    assert (verdict.fault.cause, verdict.fault.reason) == (cause, reason)
    assert verdict.fault is error or verdict.fault.__cause__ is error


@pytest.mark.parametrize(
    ("now", "cause", "reason"),
    [
        (at(0.2, 98.2), Cause.CLOCK_JUMPED_BACK, "ROS time jumped back by 1.90 s; waiting for new inputs"),
        (at(0.2, 0), Cause.CLOCK_JUMPED_BACK, "ROS time jumped back by 100.10 s; waiting for new inputs"),
        (at(0.2, 98.2, False), Cause.CLOCK_JUMPED_BACK, "ROS time jumped back by 2.00 s; waiting for new inputs"),
        (at(0.2, 102.2, False), Cause.CLOCK_JUMPED_AHEAD, "the clock was set ahead by 2.00 s; waiting for new inputs"),
        (at(0.8, 100.1), Cause.CLOCK_STOPPED, "/clock has not advanced for 0.70 s; check that the simulator runs"),
        (at(0.9), Cause.DEADLINE, "no control cycle has run for 0.80 s; check the clocks"),
    ],
)
def test_the_watchdog_says_what_is_wrong_with_time(gate, forgotten, now, cause, reason):
    gate.open(at(0))
    acts(gate, drive)
    verdict = gate.watch(now, lambda: None)
    assert verdict.act is Act.STOP
    assert (verdict.fault.cause, verdict.fault.reason) == (cause, reason)
    assert len(forgotten) == ("jumped" in cause.value)


def test_late_cycles_stop_the_robot_though_the_last_found_a_command(gate):
    gate.open(at(0))
    verdicts = [gate.cycle(at(0.2 * index), drive) for index in range(1, 4)]
    assert [verdict.act for verdict in verdicts] == [Act.DRIVE, Act.DRIVE, Act.STOP]
    assert verdicts[2].fault.reason == (
        "3 control cycles in a row were later than the period of 0.1 s; reduce the load on this computer"
    )
