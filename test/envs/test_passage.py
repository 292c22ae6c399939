"""The passage task: layouts, figures, errors."""

import msgspec
import numpy as np
import pytest
import yaml

from kdmarl_core.contract import KdmarlError, load_swarm
from kdmarl_core.contract.worlds import World, world_clearance
from kdmarl_core.envs.robots.passage import Passage, PassageConfig
from support import REPOSITORY

TASK = yaml.safe_load((REPOSITORY / "config/passage.yaml").read_text())["task"]


def make(envs=8, **changes) -> Passage:
    return Passage(msgspec.convert(TASK | changes, PassageConfig), REPOSITORY / "config", envs)


def drive(env, steps, speed):
    for _ in range(steps):
        yield env.step({g.name: np.tile([speed, 0.0], (env.num_envs, g.count, 1)) for g in env.groups})


def test_halves_are_joined_by_one_gap_that_every_robot_must_pass():
    env = make(100, gap=[0.8, 1.0])
    env.reset(4)
    side = env.walls[:, 1, 0] * 2
    lower, upper = env.walls[:, 4], env.walls[:, 5]
    assert (env.walls[:, 4:, [0, 2]] == 0).all()
    gap = upper[:, 1] - lower[:, 3]
    assert ((gap >= 0.8 - 1e-9) & (gap <= 1.0 + 1e-9)).all()
    np.testing.assert_allclose(lower[:, 1], -side / 2)
    np.testing.assert_allclose(upper[:, 3], side / 2)
    assert (np.sign(env.pose[..., 0]) == -np.sign(env.goal[..., 0])).all()
    assert ((env.pose[..., 0] < 0).sum(1) == 3).all()
    left = {tuple(np.flatnonzero(row < 0)) for row in env.pose[..., 0]}
    assert len(left) > 5  # who starts where is drawn anew
    for b in range(env.num_envs):
        world = World(size=(side[b], side[b]), discs=[], walls=[tuple(lower[b]), tuple(upper[b])])
        for places in (env.pose[b, :, :2], env.goal[b]):
            for i, place in enumerate(places):
                assert world_clearance(world, *place) > env.radius[i] + 0.399
                for j in range(i):
                    assert np.hypot(*(place - places[j])) > env.radius[i] + env.radius[j] + 0.399


def test_same_seed_same_arenas():
    one, two = make(20), make(20)
    for env in (one, two):
        env.reset(9)
    for name in ("pose", "goal", "walls"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def test_blocked_counts_the_time_that_robots_stand_away_from_their_goals():
    env = make(3, max_steps=20)
    env.reset(0)
    step = list(drive(env, 20, 0.0))[-1]
    np.testing.assert_allclose(step.episodes["blocked"], 2.0)
    env.reset(0)
    env.goal[:] = env.pose[..., :2]
    step = list(drive(env, 20, 0.0))[-1]
    np.testing.assert_allclose(step.episodes["blocked"], 0.0)
    assert (step.episodes["success"] == 1).all()


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"gap": [1.0, 0.8]}, msgspec.ValidationError, r"gap is \[1.0, 0.8\]; give \[lowest, highest\]"),
        ({"gap": [0.5, 0.8]}, KdmarlError, "narrowest is 0.5 m, the largest robot is 0.6 m wide; widen it"),
    ],
)
def test_gaps_that_cannot_be_are_refused(changes, error, message):
    with pytest.raises(error, match=message):
        make(1, **changes)


def test_robots_observe_where_the_gap_is_and_are_rewarded_for_passing_it():
    env = make(5, reward={"shared": 0.0})
    env.reset(1)
    seen = env.add_readings(env._sensors.readings(env.groups[0]), env.groups[0].agents).targets
    x, y, yaw = np.moveaxis(env.pose[:, env.groups[0].agents], -1, 0)
    in_world = np.stack(
        [
            x + np.cos(yaw) * seen[..., 0, 0] - np.sin(yaw) * seen[..., 0, 1],
            y + np.sin(yaw) * seen[..., 0, 0] + np.cos(yaw) * seen[..., 0, 1],
        ],
        -1,
    )
    np.testing.assert_allclose(in_world, np.broadcast_to(env.gap_middle[:, None], in_world.shape), atol=1e-9)
    way = env.measure().distance
    through = (
        np.hypot(*(env.goal - env.gap_middle[:, None]).T).T
        + np.hypot(*(env.pose[..., :2] - env.gap_middle[:, None]).T).T
    )
    np.testing.assert_allclose(way, through)
    env.pose[..., :2] = (env.goal + env.gap_middle[:, None]) / 2
    np.testing.assert_allclose(env.measure().distance, np.hypot(*(env.goal - env.pose[..., :2]).T).T)


def test_a_shared_reward_keeps_the_teams_sum():
    rewards = []
    for share in (0.0, 0.3, 1.0):
        env = make(3, reward={"shared": share, "collision": 0.0})
        env.reset(2)
        rewards.append(next(drive(env, 1, 0.3)).reward)
    np.testing.assert_allclose(rewards[1], 0.7 * rewards[0] + 0.3 * rewards[2], atol=1e-5)
    assert np.ptp(rewards[2]) < np.ptp(rewards[0])


def test_a_swarm_file_must_say_where_the_gap_is(tmp_path):
    text = (REPOSITORY / "config/swarms/passage.yaml").read_text()
    data = yaml.safe_load(text) | {"landmarks": []}
    data["robot_types"] = str(REPOSITORY / "config/robots.yaml")
    data["policies"] = {name: str(tmp_path / "any.onnx") for name in data["policies"]}
    (tmp_path / "any.onnx").touch()
    (tmp_path / "swarm.yaml").write_text(yaml.safe_dump(data))
    with pytest.raises(KdmarlError, match="has 0 landmarks; give one, the gap's middle"):
        Passage(
            msgspec.convert(TASK, PassageConfig),
            REPOSITORY / "config",
            2,
            load_swarm(tmp_path / "swarm.yaml", allow_outside=True),
        )
