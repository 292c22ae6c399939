"""The policy node when ``/clock`` stops, jumps or gives no time."""

import time

import pytest

from policy_process import PERIOD, SLACK, TIMEOUT, policy_process
from robot_body import edited


def test_clock_that_stops_or_jumps_back_stops_the_robot(robot, policy):
    robot.simulate_time(100.0)
    with policy_process(policy, use_sim_time="true"):
        assert robot.drives()
        for restart in (robot.sim_time + 10, 3.0):
            stopped = time.monotonic()
            robot.clock_runs = False
            assert robot.halts(stopped) < TIMEOUT + 1.5 * PERIOD + SLACK
            assert robot.says("/clock has not advanced")
            robot.clock_runs = True
            assert robot.drives()
            jumped = time.monotonic()
            robot.sim_time = restart
            if restart < 10:
                assert robot.halts(jumped) < 1.5 * PERIOD + SLACK
                assert robot.says("jumped back")
            assert robot.drives()
    assert all(level == b"\x00" for level, message, _ in robot.diagnostics if message == "driving")


@pytest.mark.parametrize("values", [(-5, 0), (100, 4_000_000_000), (-(2**31), 2**32 - 1)])
def test_a_clock_that_gives_no_time_stops_the_robot(robot, policy, values):
    """For as long as it does, and with a single such message among good ones."""
    seconds, nanoseconds = values
    bad = edited(clock__sec=seconds, clock__nanosec=nanoseconds)
    robot.simulate_time(100.0)
    with policy_process(policy, use_sim_time="true"):
        assert robot.drives()
        since = time.monotonic()
        robot.edits["/clock"] = bad
        assert robot.halts(since) < SLACK
        robot.spin(2 * TIMEOUT)
        assert robot.diagnostics[-1][1] == (
            f"stopped: /clock says {seconds} s and {nanoseconds} ns, which is no time; check what publishes it"
        )
        del robot.edits["/clock"]
        assert robot.drives()
        since = time.monotonic()
        robot.edits["/clock"] = lambda message: [bad, robot.edits.pop("/clock")][0](message)
        assert robot.halts(since) < SLACK
        assert robot.drives()
        assert robot.until(lambda: robot.stop_counts()["stops_clock_invalid"] == "2")


def test_a_clock_that_leaps_to_the_end_of_time_and_back_stops_the_robot(robot, policy):
    robot.simulate_time(100.0)
    with policy_process(policy, use_sim_time="true"):
        assert robot.drives()
        since = time.monotonic()
        robot.edits["/clock"] = edited(clock__sec=2**31 - 1, clock__nanosec=999_999_999)
        assert robot.halts(since) < 1.5 * PERIOD + SLACK
        del robot.edits["/clock"]
        assert robot.says("jumped back")
        assert robot.drives()
