"""For whom a simulator in lockstep waits, whatever the control period, the sensors' rates and what starts a cycle."""

import msgspec
import pytest

from kdmarl_core.contract import load_swarm
from kdmarl_core.contract.node_parameters import Defaults
from kdmarl_ros.sim.lockstep import MESSAGE_PERIOD, Cycles, cycles_of
from sim_support import CROSSING, make_swarm, robot

MS = 1_000_000


def commands(cycles, tick, until):
    """When a robot that commands as soon as it is due does so, from 0 on [ms]."""
    times = [0]
    for now in range(tick * MS, until * MS + 1, tick * MS):
        if cycles.due(times[-1] * MS, now, tick * MS):
            times.append(now // MS)
    return times


@pytest.mark.parametrize(
    ("cycles", "tick", "expected"),
    [
        (Cycles(100 * MS), 20, [0, 100, 200, 300, 400]),
        (Cycles(133 * MS), 20, [0, 140, 280, 400]),
        (Cycles(50 * MS), 10, [0, 50, 100, 150, 200, 250, 300, 350, 400]),
        (Cycles(100 * MS, 100 * MS), 20, [0, 100, 200, 300, 400]),
        (Cycles(100 * MS, 25 * MS), 5, [0, 75, 150, 225, 300, 375]),
        # A lidar that is slower than the longest wait for it: the clock starts cycles between its scans.
        (Cycles(100 * MS, 200 * MS), 20, [0, 140, 280, 400]),
        (Cycles(133 * MS, 133 * MS), 20, [0, 140, 280, 400]),
    ],
)
def test_a_robot_is_due_when_its_node_runs_a_cycle(cycles, tick, expected):
    assert commands(cycles, tick, 400) == expected


def test_cycles_are_those_of_the_policy_file():
    swarm = load_swarm(CROSSING)
    assert cycles_of(swarm, swarm.robots[0]) == Cycles(MESSAGE_PERIOD)
    by_sensor = msgspec.structs.replace(swarm, defaults=Defaults(trigger="sensor"))
    assert cycles_of(by_sensor, swarm.robots[0]) == Cycles(MESSAGE_PERIOD, MESSAGE_PERIOD)


def test_without_a_policy_they_are_ten_a_second():
    swarm = make_swarm([robot()])
    assert cycles_of(swarm, swarm.robots[0]) == Cycles(MESSAGE_PERIOD)
