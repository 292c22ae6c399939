"""The navigation task: determinism, layouts, figures, views."""

import re

import msgspec
import numpy as np
import pytest
import yaml

from kdmarl_core.contract import KdmarlError, load_swarm
from kdmarl_core.contract.worlds import World, world_clearance
from kdmarl_core.envs.base import EXPERT, STUDENT
from kdmarl_core.envs.robots.config import Randomization
from kdmarl_core.envs.robots.navigation import Navigation, NavigationConfig
from support import REPOSITORY, write_policy

TASK = yaml.safe_load((REPOSITORY / "config/navigation.yaml").read_text())["task"]


def make(envs=8, swarm=None, **changes) -> Navigation:
    config = msgspec.convert(TASK | changes, NavigationConfig)
    return Navigation(config, REPOSITORY / "config", envs, swarm)


def drive(env, steps, seed=0):
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        commands = {g.name: rng.uniform(g.action.low, g.action.high, (env.num_envs, g.count, 2)) for g in env.groups}
        yield env.step(commands)
        env.reset_ended()


def bytes_of(env, steps):
    env.reset(7)
    parts = []
    for step in drive(env, steps):
        parts.append(step.reward.tobytes())
        parts += [x.tobytes() for view in (EXPERT, STUDENT) for x in env.observe(view).values()]
        parts += [x.tobytes() for x in env.state().values()]
    return b"".join(parts)


def test_same_seed_same_bytes_even_across_resets():
    one, two = make(max_steps=10), make(max_steps=10)
    list(drive(two, 5))  # a past of its own must not matter
    first = bytes_of(one, 25)
    assert first == bytes_of(two, 25)
    assert first == bytes_of(one, 25)


def test_layouts_are_free_and_goals_apart():
    env = make(200)
    env.reset(3)
    for b in range(env.num_envs):
        side = float(env.walls[b, 1, 0] * 2)
        inner = [tuple(w) for w in env.walls[b, 4:] if not np.isnan(w[0])]
        discs = [tuple(d) for d in env.discs[b] if d[2] > 0]
        world = World(size=(side, side), discs=discs, walls=inner)
        for places in (env.pose[b, :, :2], env.goal[b]):
            for i, place in enumerate(places):
                assert world_clearance(world, *place) > env.radius[i] + 0.399
                for j in range(i):
                    assert np.hypot(*(place - places[j])) > env.radius[i] + env.radius[j] + 0.399
    assert np.hypot(*np.moveaxis(env.goal - env.pose[..., :2], -1, 0)).min() >= 2
    assert 7 <= env.walls[:, 1, 0].min() * 2 <= env.walls[:, 1, 0].max() * 2 <= 9.5


def test_paths_cross():
    env = make(200, crossing=1.0)
    env.reset(0)
    start, goal = env.pose[..., :2], env.goal
    crossings = 0
    for i in range(env.num_agents):
        for j in range(i):

            def side(p, q, r):
                return np.sign((q[:, 0] - p[:, 0]) * (r[:, 1] - p[:, 1]) - (q[:, 1] - p[:, 1]) * (r[:, 0] - p[:, 0]))

            a, b, c, d = start[:, i], goal[:, i], start[:, j], goal[:, j]
            crossings += ((side(a, b, c) != side(a, b, d)) & (side(c, d, a) != side(c, d, b))).mean()
    assert crossings > 7  # of 15 pairs


def test_episode_figures():
    env = make(3, max_steps=5)
    env.reset(0)
    env.goal[:, 0] = env.pose[:, 0, :2]  # the first robot is already there
    still = {g.name: np.zeros((3, g.count, 2)) for g in env.groups}
    steps = []
    for _ in range(5):
        steps.append(env.step(still))
    assert [step.truncated.all() for step in steps] == [False] * 4 + [True]
    assert not any(step.terminated.any() for step in steps)
    figures = steps[-1].episodes
    assert figures["success"].shape == (3, 6)
    assert (figures["success"][:, 0] == 1).all()
    assert (figures["success"][:, 1:] == 0).all()
    assert (figures["time_to_goal"][:, 0] == 0.1).all()
    assert np.isnan(figures["time_to_goal"][:, 1:]).all()
    assert (figures["collisions"] == 0).all()
    np.testing.assert_allclose(figures["return"], sum(step.reward for step in steps), rtol=1e-5)
    assert all(step.episodes["return"].shape == (0, 6) for step in steps[:4])


def test_the_expert_sees_how_the_others_move():
    env = make(3, discs=[0, 0], walls=[0, 0])
    list(drive(env, 20))
    before, yaw = env.pose[:, 1, :2].copy(), env.pose[:, 0, 2]
    seen = env._neighbors(slice(0, 1))[:, 0, 0]  # robot 1 as robot 0 sees it
    velocity = env._ground_velocity()[:, 1]
    turned = np.stack([np.cos(yaw) * velocity[:, 0] + np.sin(yaw) * velocity[:, 1],
                       np.cos(yaw) * velocity[:, 1] - np.sin(yaw) * velocity[:, 0]], -1)  # fmt: skip
    np.testing.assert_allclose(seen[:, 3:5], turned, atol=1e-12)
    np.testing.assert_allclose(seen[:, 5], env.radius[1])
    commands = {g.name: np.zeros((3, g.count, 2)) for g in env.groups}
    env.step(commands)
    moved = env.pose[:, 1, :2] - before
    assert np.abs(moved - velocity * env.control_period).max() < 0.05  # it brakes meanwhile


def test_a_lasting_touch_is_one_collision():
    env = make(1, discs=[0, 0], walls=[0, 0], arena=[6, 6], max_steps=100)
    env.reset(0)
    env.pose[0, :, :2] = [(2.0, -2.4 + 0.9 * i) for i in range(6)]
    env.pose[0, :, 2] = 0
    ahead = {g.name: np.tile([0.5, 0.0], (1, g.count, 1)) for g in env.groups}
    for _ in range(100):
        step = env.step(ahead)
    assert step.episodes["collisions"].tolist() == [[1] * 6]


def test_desynchronized_episodes_are_not_reported():
    env = make(20, max_steps=40)
    env.reset(0)
    env.desynchronize()
    reported = sum(len(step.episodes["return"]) for step in drive(env, 40))
    assert reported < 20


def test_views_see_through_their_own_sensors():
    env = make(4)
    expert, student = env.observe(EXPERT), env.observe(STUDENT)
    assert expert["mini"].shape == (4, 2, 119)
    assert student["mini"].shape == (4, 2, 31)
    np.testing.assert_array_equal(expert["scout"][..., :36], student["scout"][..., :36])
    with pytest.raises(KdmarlError, match="mini: has a lidar term, the robot has no lidar"):
        make(observations={"expert": TASK["observations"]["expert"], "student": TASK["observations"]["expert"]})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"team": {}}, "team has no robots"),
        ({"team": {"tank": 1}}, "observations.expert must list terms for tank"),
        ({"observations": {"expert": TASK["observations"]["expert"]}}, "observations.student must list terms"),
        ({"discs": [8, 2]}, r"discs is \[8, 2\]; give \[lowest, highest\]"),
        ({"randomization": {"noise": [0.03, 0.0]}}, "noise is"),
        ({"randomization": {"delay": [0.0, 0.5]}}, "at most two control periods"),
    ],
)
def test_configs_that_cannot_be_are_refused(changes, message):
    with pytest.raises(msgspec.ValidationError, match=message):
        make(**changes)


def test_arenas_without_room_are_refused():
    with pytest.raises(KdmarlError, match=r"find no free starts and goals in a side of 2 to 2 m"):
        make(1, arena=[2.0, 2.0])


def test_dropped_scans_repeat_the_last_one():
    calm = msgspec.to_builtins(Randomization(noise=(0.01, 0.01), dropout=(1.0, 1.0)))
    env = make(4, randomization=calm)
    before = env.observe(STUDENT)["scout"][..., :36].copy()
    for _ in drive(env, 3):
        pass
    np.testing.assert_array_equal(env.observe(STUDENT)["scout"][..., :36], before)


def test_past_sectors_are_those_of_three_steps_ago():
    env = make(6, max_steps=8)
    env.reset(2)
    seen = [env.observe(STUDENT)["scout"]]
    for step in drive(env, 8):
        seen.append(env.observe(STUDENT)["scout"])
        if not step.truncated.any():
            past = seen[max(len(seen) - 4, 0)]
            np.testing.assert_array_equal(seen[-1][..., 36:72], past[..., :36])
    new = env.observe(STUDENT)["scout"]
    np.testing.assert_array_equal(new[..., 36:72], new[..., :36])  # a new episode has no past


def test_swarm_file_fixes_the_arena(tmp_path):
    for name in ("scout", "carrier", "mini"):
        write_policy(tmp_path / f"models/navigation_{name}.onnx", name)
    text = (REPOSITORY / "config/swarms/crossing.yaml").read_text()
    path = tmp_path / "config/swarms/crossing.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    (tmp_path / "config/robots.yaml").write_text((REPOSITORY / "config/robots.yaml").read_text())
    swarm = load_swarm(path)
    env = make(2, swarm)
    assert env.num_agents == len(swarm.robots)
    order = [robot for group in env.groups for robot in swarm.robots if robot.type == group.name]
    np.testing.assert_allclose(env.goal[1], [robot.goal for robot in order])
    np.testing.assert_allclose(env.pose[0], [robot.pose for robot in order])
    path.write_text(re.sub(r", goal: \[.*?\]", "", text) + "\ntargets: [[0.0, -2.5]]\n")
    with pytest.raises(KdmarlError, match="robot 'scout_1' has no goal, which this task needs; give it one"):
        make(2, load_swarm(path))


def test_collisions_cost_their_full_weight_unless_training_has_just_begun():
    env = make(1)
    weights = env.config.reward
    costs = []
    for done in (None, 0.0, weights.caution_ramp / 2, 1.0):
        if done is not None:
            env.set_progress(done)
        env.reset(0)
        env.pose[0, 1, :2] = env.pose[0, 0, :2]
        still = {g.name: np.zeros((1, g.count, 2)) for g in env.groups}
        costs.append(float(env.step(still).reward[0, 0]))
    full = weights.collision + weights.contact + weights.crowd
    assert costs[0] == costs[3] == pytest.approx(full, abs=0.7)  # pushed apart, which is progress or not
    assert costs[3] - costs[1] == pytest.approx(full * (1 - weights.first_caution), rel=1e-3)
    assert costs[3] - costs[2] == pytest.approx(full * (1 - weights.first_caution) / 2, rel=1e-3)
