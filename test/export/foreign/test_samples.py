"""Random observations are such as a robot can have."""

import numpy as np

from kdmarl_core.contract import Discrete, load_robot_types, observation_size
from kdmarl_core.contract.simulator_terms import Vector
from kdmarl_core.contract.team_terms import Neighbors, Targets
from kdmarl_core.contract.terms import Goal, Lidar, PreviousAction, RangeSensors, Velocity
from kdmarl_core.export.foreign.samples import random_observations
from support import ROBOT_TYPES

ACTION = load_robot_types(ROBOT_TYPES)["scout"].action


def test_readings_lie_within_the_ranges_of_the_sensors():
    terms = [Lidar(36, 3.5, past=3), Lidar(9, 1.0, fov=3.0), Goal(5.0), Velocity(), PreviousAction()]
    rows = random_observations(terms, ACTION, 2000, np.random.default_rng(0))
    assert rows.shape == (2000, observation_size(terms))
    assert rows.dtype == np.float32
    scan, past, near, goal = rows[:, :36], rows[:, 36:72], rows[:, 72:81], rows[:, 81:84]
    for part, range_ in ((scan, 3.5), (past, 3.5), (near, 1.0)):
        assert 0 <= part.min() < 0.1 * range_
        assert 0.9 * range_ < part.max() <= range_
        assert 0.3 * range_ < part.mean()
    assert not np.allclose(scan, past)
    assert goal[:, 0].max() <= 5.0
    for part in (rows[:, 84:86], rows[:, 86:88]):
        assert (part >= ACTION.low).all()
        assert (part <= ACTION.high).all()
        assert (part.max(0) - part.min(0) > 0.9 * (ACTION.high - ACTION.low)).all()


def test_every_term_can_be_drawn():
    terms = [RangeSensors(8, 2.0), Neighbors(3, 4.0), Neighbors(2, 4.0, motion=True), Targets(3, 6.0, others=True)]
    rows = random_observations(terms, ACTION, 500, np.random.default_rng(0))
    assert np.isfinite(rows).all()
    present = rows[:, 8 + 4]
    assert 0 < present.mean() < 1
    rows = random_observations([Vector(5), PreviousAction(1)], Discrete(4), 500, np.random.default_rng(0))
    assert set(rows[:, 5]) == {0, 1, 2, 3}
