"""Rows of an evaluation: what is left out, and what is resampled together."""

import numpy as np

from kdmarl_core.experiment.evaluation import _rows
from toy import Echo

EPISODES, ARENAS = 40, 4


def figures(return_, arrival):
    """Of EPISODES episodes in each of ARENAS arenas; every arena has a difficulty of its own."""
    rng = np.random.default_rng(0)
    arenas = np.arange(ARENAS).repeat(EPISODES)
    values = rng.normal(return_, 0.1, (arenas.size, 3)) + arenas[:, None]
    found = np.where(arenas[:, None] % 2, arrival, np.nan) * np.ones((1, 3))
    zeros = np.zeros_like(values)
    return {"return": values, "success": zeros, "collisions": zeros, "clearance": zeros, "time_to_goal": found}


def test_no_retention_of_an_expert_that_is_no_better_than_random_commands():
    teams = {"expert": figures(0, 3.0), "students": figures(9, 4.0), "random": figures(0, 9.0)}
    assert [row["retention"] for row in _rows(Echo(1), teams, {}, None)] == [None] * 9


def test_several_arenas_are_resampled_as_arenas():
    teams = {"expert": figures(10, 3.0), "students": figures(9, 4.0), "random": figures(0, 9.0)}
    arenas = np.arange(ARENAS).repeat(EPISODES)
    together, apart = (_rows(Echo(1), teams, {}, clusters) for clusters in (arenas, None))
    for wide, narrow in zip(together, apart, strict=True):
        assert wide["return"]["mean"] == narrow["return"]["mean"]
        widths = [row["return"]["high"] - row["return"]["low"] for row in (wide, narrow)]
        assert widths[0] > 3 * widths[1]
        assert wide["time_to_goal"]["mean"] in (3.0, 4.0, 9.0)
    assert len(together) == 3 * 3  # teams; both types and the whole team
