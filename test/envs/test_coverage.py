"""The coverage task: who covers what, shared reward, figures."""

import msgspec
import numpy as np
import pytest
import yaml

from kdmarl_core.contract.swarm import World, world_clearance
from kdmarl_core.envs.base import EXPERT, STUDENT
from kdmarl_core.envs.robots.coverage import Coverage, CoverageConfig
from support import REPOSITORY

TASK = yaml.safe_load((REPOSITORY / "config/coverage.yaml").read_text())["task"]


def make(envs=4, **changes) -> Coverage:
    return Coverage(msgspec.convert(TASK | changes, CoverageConfig), REPOSITORY / "config", envs)


def still(env):
    return {g.name: np.zeros((env.num_envs, g.count, 2)) for g in env.groups}


def test_any_robot_has_room_at_any_target():
    env = make(50)
    env.reset(2)
    for b in range(env.num_envs):
        side = float(env.walls[b, 1, 0] * 2)
        discs = [tuple(d) for d in env.discs[b] if d[2] > 0]
        walls = [tuple(w) for w in env.walls[b, 4:] if not np.isnan(w[0])]
        world = World(size=(side, side), discs=discs, walls=walls)
        for place in env.targets[b]:
            assert world_clearance(world, *place) > env._radius.max() + 0.399


def test_a_target_is_covered_once_and_by_its_nearest_robot():
    env = make(1, discs=[0, 0], walls=[0, 0], max_steps=1, arena=[9.0, 9.0])
    env.reset(0)
    env.targets[0] = [(x, 3.0) for x in (-4, -2.5, -1, 0.5, 2, 3.5)]
    env.pose[0, :, :2] = [(-4.0, 2.9), (-4.0, 2.65), (-1.0, 3.1), (0.5, 3.5), (0, 0), (0, -3)]
    step = env.step(still(env))
    # 0 is nearest to the first target, 1 too far off it in rank; 2 covers the third; 3 is out of reach.
    assert step.episodes["success"].tolist() == [[1, 0, 1, 0, 0, 0]]
    np.testing.assert_allclose(step.episodes["covered"], 2 / 6)


def test_what_the_team_gains_is_shared_and_danger_is_not():
    env = make(1, discs=[0, 0], walls=[0, 0], arena=[9.0, 9.0])
    env.reset(0)
    env.targets[0] = [(x, 3.0) for x in (-4, -2.5, -1, 0.5, 2, 3.5)]
    env.pose[0, :, :2] = [(-4, 0), (-2, 0), (0, 0), (2, 0), (3.5, 0), (3.5, -2)]
    env.pose[0, :, 2] = np.pi / 2
    env._gain[:], env._delay[:] = 1, 0
    ahead = still(env)
    ahead["scout"][0, 0, 0] = 0.5
    rewards = env.step(ahead).reward[0]
    assert (rewards > 0).all()
    assert rewards.max() - rewards.min() < 1e-6
    moved = env.pose[0, 0, 1]  # the first target's nearest robot came nearer by about this
    assert rewards[0] == pytest.approx(env.config.reward.progress * moved / 6, rel=0.02)
    env.pose[0, 0, 1] = 4.5  # in the wall
    rewards = env.step(still(env)).reward[0]
    assert rewards[0] < rewards[1:].min() - 5
    assert rewards[1:].max() - rewards[1:].min() < 1e-6


def test_views_see_targets_in_the_robots_frames():
    env = make(3)
    seen = env.observe(STUDENT)["scout"][:, 0, 90:108].reshape(3, 6, 3)
    assert (seen[..., 2] == 1).all()
    near = np.hypot(*(env.targets - env.pose[:, :1, :2]).transpose(2, 0, 1)).min(1)
    np.testing.assert_allclose(np.hypot(seen[:, 0, 0], seen[:, 0, 1]), np.minimum(near, 8.0), rtol=1e-5)
    assert env.observe(EXPERT)["mini"].shape == (3, 2, 72 + 18 + 4 + 40)


def test_same_seed_same_bytes():
    def bytes_of(env):
        env.reset(5)
        rng, parts = np.random.default_rng(0), []
        for _ in range(30):
            step = env.step({g.name: rng.uniform(-1, 1, (env.num_envs, g.count, 2)) for g in env.groups})
            env.reset_ended()
            parts += [step.reward.tobytes(), *(x.tobytes() for x in env.observe(STUDENT).values())]
        return b"".join(parts)

    assert bytes_of(make(5, max_steps=12)) == bytes_of(make(5, max_steps=12))
