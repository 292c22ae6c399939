"""Robots in somebody else's simulator, which publishes ``/clock`` and stamps its sensors by it."""

import time

import pytest

from node_process import module_process
from policy_process import policy_process
from robot_body import edited, shifted
from sim_support import robot as robot_of
from sim_support import write_swarm


@pytest.fixture
def path(tmp_path):
    return write_swarm(tmp_path, [robot_of("r1", pose=(1.0, 2.0, 1.57), goal=(2.0, 4.0))], world=None)


@pytest.mark.parametrize("processes", ["robot", "host"])
def test_robots_drive_on_the_time_of_another_simulator(robot, path, processes):
    robot.simulate_time(12.0)
    with module_process("swarm_cli", [str(path), "--sim", "external", "--processes", processes]):
        assert robot.drives(30)
        assert "guarded_cycles" in robot.diagnostics[-1][2]
        stopped = time.monotonic()
        robot.clock_runs = False
        robot.halts(stopped)
        assert robot.says("/clock has not advanced")
        robot.clock_runs = True
        assert robot.drives()


def test_simulated_stamps_are_distinguished_from_old_ones(robot, path):
    robot.simulate_time(12.0)
    with module_process("swarm_cli", [str(path), "--sim", "none"]):
        assert robot.says("is stamped in simulated time (1", 30)
        message = robot.diagnostics[-1][1]
        assert "this node runs on wall time; start it with use_sim_time (sim 'external'), or set the clock" in message
        assert not robot.moving()


def test_wall_stamps_in_a_simulation_are_distinguished_from_those_of_the_future(robot, policy):
    robot.simulate_time(12.0)
    robot.edits["scan"] = shifted(0.0)
    with policy_process(policy, use_sim_time="true"):
        assert robot.says("scan is stamped in wall time, this node runs on simulated time (1")
        assert "set use_sim_time where it is published, or give sim 'none'" in robot.diagnostics[-1][1]
        assert not robot.moving()
        del robot.edits["scan"]
        assert robot.drives()


def test_stamps_of_the_nodes_own_time_are_reported_as_old_or_early(robot, policy):
    with policy_process(policy):
        assert robot.drives()
        robot.edits["scan"] = shifted(-3 * 365 * 24 * 3600.0)
        assert robot.says("scan was stamped 94608000")
        robot.edits["scan"] = edited(header__stamp__sec=2**31 - 1)
        assert robot.says("in the future; check that the clocks agree")
