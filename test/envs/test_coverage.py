"""The coverage task: who covers what, shared reward, figures."""

import msgspec
import numpy as np
import pytest
import yaml

from kdmarl_core.contract.worlds import World, world_clearance
from kdmarl_core.envs.base import EXPERT, STUDENT
from kdmarl_core.envs.robots.coverage import Coverage, CoverageConfig
from kdmarl_core.judge.definitions import share_out
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
            assert world_clearance(world, *place) > env.radius.max() + 0.399


def test_places_are_shared_out_nearest_pair_first():
    distances = np.array([[[1.0, 2.0, 9.0], [0.5, 0.7, 9.0], [3.0, 4.0, 5.0]]])
    # Robot 1 has place 0 nearest of all; of what is left robot 0 takes place 1, though robot 1 is nearer to it.
    assert share_out(distances).tolist() == [[1, 0, 2]]
    many = np.random.default_rng(0).uniform(0, 9, (200, 6, 6))
    assert (np.sort(share_out(many), 1) == np.arange(6)).all()


def test_a_place_counts_for_one_robot():
    env = make(1, discs=[0, 0], walls=[0, 0], max_steps=1, arena=[9.0, 9.0])
    env.reset(0)
    env.targets[0] = [(x, 3.0) for x in (-4, -2.5, -1, 0.5, 2, 3.5)]
    env.pose[0, :, :2] = [(-4.0, 2.9), (-4.0, 2.65), (-1.0, 3.1), (0.5, 3.5), (0, 0), (0, -3)]
    env.begin(np.arange(1))
    step = env.step(still(env))
    # 0 and 1 are both near the first place and 0 nearer; 2 covers the third; 3 is out of reach.
    assert step.episodes["success"].tolist() == [[1, 0, 1, 0, 0, 0]]
    np.testing.assert_allclose(step.episodes["covered"], 2 / 6)


def test_a_place_is_covered_by_any_robot_within_the_tolerance():
    env = make(1, discs=[0, 0], walls=[0, 0], max_steps=1, arena=[9.0, 9.0])
    env.reset(0)
    env.targets[0] = [(x, 3.0) for x in (-4, -3.5, -1, 0.5, 2, 3.5)]
    env.pose[0, :, :2] = [(-3.76, 3.0), (-3, -2), (-1, -2), (0.5, -2), (2, -2), (3.5, -2)]
    env.begin(np.arange(1))
    step = env.step(still(env))
    assert step.episodes["success"].sum() == 1
    np.testing.assert_allclose(step.episodes["covered"], 2 / 6)


def test_a_robot_is_rewarded_for_the_place_assigned_to_it():
    env = make(1, discs=[0, 0], walls=[0, 0], arena=[9.0, 9.0])
    env.reset(0)
    env.targets[0] = [(x, 3.0) for x in (-4, -2.5, -1, 0.5, 2, 3.5)]
    env.pose[0, :, :2] = [(-4, 0), (-2.5, 0), (-1, 0), (0.5, 0), (2, 0), (3.5, -2)]
    env.pose[0, :, 2] = np.pi / 2
    env._gain[:], env._delay[:] = 1, 0
    env.begin(np.arange(1))
    np.testing.assert_allclose(env.goal[0], env.targets[0])
    assert env.observe(EXPERT)["scout"][0, 0, 72] == pytest.approx(3.0)
    ahead = still(env)
    ahead["scout"][0, 0, 0] = 0.5
    rewards = env.step(ahead).reward[0]
    moved = env.pose[0, 0, 1]
    assert rewards[0] == pytest.approx(env.config.reward.progress * moved, rel=0.02)
    np.testing.assert_allclose(rewards[1:], 0, atol=1e-6)


def test_views_see_targets_in_the_robots_frames():
    env = make(3)
    seen = env.observe(STUDENT)["scout"][:, 0, 90:114].reshape(3, 6, 4)
    assert (seen[..., 2] == 1).all()
    near = np.hypot(*(env.targets - env.pose[:, :1, :2]).transpose(2, 0, 1)).min(1)
    np.testing.assert_allclose(np.hypot(seen[:, 0, 0], seen[:, 0, 1]), np.minimum(near, 8.0), rtol=1e-5)
    to_others = np.hypot(*(env.targets[:, :, None] - env.pose[:, None, 1:, :2]).transpose(3, 0, 1, 2)).min(2)
    np.testing.assert_allclose(np.sort(seen[..., 3]), np.sort(np.minimum(to_others, 8.0)), rtol=1e-4)
    assert env.observe(EXPERT)["mini"].shape == (3, 2, 72 + 3 + 4 + 40)


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
