"""What one unit measured: retention of types, team and worst robot, and what is averaged."""

import msgspec
import numpy as np
import pytest

from benchmark_support import row
from kdmarl_core.benchmark import measured


def test_retention_of_types_team_and_worst_robot():
    unit = row()
    assert unit.retention("big") == pytest.approx(0.8)
    assert unit.retention("small") == pytest.approx(0.5)
    assert unit.retention("team") == pytest.approx(0.7)
    assert unit.worst == pytest.approx(0.5)


def test_another_zero_than_random_commands():
    assert row().retention("big", {"return": [5.0, 5.0, 4.0]}) == pytest.approx(0.6)


def test_nothing_is_retained_of_an_expert_that_is_no_better_than_random_commands():
    some = msgspec.structs.replace(row(), random={"return": [0.0, 0.0, 10.0]})
    assert np.isnan(some.retention("small"))
    assert some.worst == pytest.approx(0.8)  # of the others
    none = msgspec.structs.replace(row(), random={"return": [20.0, 20.0, 20.0]})
    assert np.isnan(none.retention("team"))
    assert np.isnan(none.worst)


def test_means_leave_out_episodes_without_a_value():
    values = np.array([[1.0, np.nan], [np.nan, np.nan], [3.0, np.nan]])
    assert measured.agent_means(values) == [2.0, None]


def test_means_leave_out_agents_without_a_value():
    means: measured.Means = {"time_to_goal": [1.0, None, 3.0, None]}
    assert measured.over_agents(means, "time_to_goal", [0, 1, 2]) == 2.0
    assert np.isnan(measured.over_agents(means, "time_to_goal", [1, 3]))
