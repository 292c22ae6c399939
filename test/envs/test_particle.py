"""The MPE tasks: whole episodes agree with mpe2, seeds decide everything, views and bad configs."""

import msgspec
import numpy as np
import pytest
from mpe2 import simple_spread_v3

from kdmarl_core.contract import KdmarlError, observation_size
from kdmarl_core.contract.files import convert
from kdmarl_core.envs.base import EXPERT, STUDENT
from kdmarl_core.envs.particle.config import ParticleConfig
from kdmarl_core.envs.particle.mpe2_particle import Mpe2Particle
from kdmarl_core.envs.particle.particle import Particle
from kdmarl_core.envs.particle.prey import flee
from kdmarl_core.evaluate import episodes

SPREAD, SPEAKER, REFERENCE = "simple_spread", "simple_speaker_listener", "simple_reference"
TAG = "simple_tag"
CASES = [
    {"scenario": SPREAD, "observations": {"student": {"neighbors": 1, "landmarks": 2}}},
    {"scenario": SPREAD, "local_ratio": 0.0, "observations": {"expert": {"neighbors": 1}, "student": {"landmarks": 1}}},
    {"scenario": SPREAD, "agents": 1},
    {"scenario": SPREAD, "agents": 6, "local_ratio": 0.8, "observations": {"student": {"neighbors": 7}}},
    {"scenario": SPEAKER, "observations": {"student": {"landmarks": 1}}},
    {"scenario": REFERENCE, "observations": {"student": {"landmarks": 2}}},
    {"scenario": REFERENCE, "local_ratio": 0.2, "max_steps": 10},
    {"scenario": TAG, "observations": {"expert": {"neighbors": 5}, "student": {"neighbors": 2, "landmarks": 1}}},
]


def make(envs=4, **task) -> Particle:
    return Particle(msgspec.convert({"kind": "particle", "scenario": SPREAD} | task, ParticleConfig), envs)


def copy_worlds(mpe2_env: Mpe2Particle, env: Particle) -> None:
    """Put ``env`` where mpe2 is now, at the start of an episode."""
    env.reset(0)
    for index, copy in enumerate(mpe2_env.copies):
        world = copy.unwrapped.world
        env.world.position[index] = [agent.state.p_pos for agent in world.agents]
        env.world.velocity[index] = [agent.state.p_vel for agent in world.agents]
        env.world.landmarks[index] = [landmark.state.p_pos for landmark in world.landmarks]
        for agent in world.agents:
            if getattr(agent, "_goal_a", None) is not None:
                who = world.agents.index(agent.goal_a)
                env.world.target[index, who] = world.landmarks.index(agent.goal_b)


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case.values())))
def test_whole_episodes_agree_with_mpe2(case):
    env = make(**case)
    mpe2_env = Mpe2Particle(env.config, env.num_envs)
    assert mpe2_env.groups == env.groups
    assert mpe2_env.state_sizes == env.state_sizes
    act = episodes.random_commands(3)
    mpe2_env.reset(5)
    copy_worlds(mpe2_env, env)
    for step in range(env.max_steps + 1):
        for view in (EXPERT, STUDENT):
            for name, expected in mpe2_env.observe(view).items():
                np.testing.assert_allclose(env.observe(view)[name], expected, rtol=1e-5, atol=1e-5)
        for name, expected in mpe2_env.state().items():
            np.testing.assert_allclose(env.state()[name], expected, rtol=1e-5, atol=1e-5)
        if step == env.max_steps:
            break
        commands = act(env)
        ours, theirs = env.step(commands), mpe2_env.step(commands)
        np.testing.assert_allclose(ours.reward, theirs.reward, rtol=1e-5, atol=1e-5)
        assert (ours.truncated == theirs.truncated).all()
        assert not (ours.terminated | theirs.terminated).any()
    assert ours.truncated.all()
    assert ours.episodes.keys() == theirs.episodes.keys()
    for name, expected in theirs.episodes.items():
        np.testing.assert_allclose(ours.episodes[name], expected, rtol=1e-5, atol=1e-5)


def test_agents_in_contact_agree_with_mpe2():
    env = make(envs=3, agents=3)
    mpe2_env = Mpe2Particle(env.config, 3)
    mpe2_env.reset(1)
    for copy in mpe2_env.copies:
        for place, agent in enumerate(copy.unwrapped.world.agents):
            agent.state.p_pos = np.array([0.28 * place, 0.0])
    copy_worlds(mpe2_env, env)
    to_the_middle = {"agent": np.array([[[2], [0], [1]]] * 3)}
    for _ in range(env.max_steps):
        ours, theirs = env.step(to_the_middle), mpe2_env.step(to_the_middle)
        np.testing.assert_allclose(env.observe(EXPERT)["agent"], mpe2_env.observe(EXPERT)["agent"], atol=1e-5)
        np.testing.assert_allclose(ours.reward, theirs.reward, rtol=1e-5)
    assert (ours.episodes["collisions"] > 10).all()


@pytest.mark.parametrize(
    ("hunter", "prey", "move"),
    [
        ((-0.3, 0), (0, 0), 2),
        ((0.3, 0), (0, 0), 1),
        ((0, -0.3), (0, 0), 4),
        ((0, 0.3), (0, 0), 3),
        ((0.6, 0.1), (0.95, 0), 3),  # not to the right, beyond the edge
    ],
)
def test_prey_flees_from_the_nearest_but_not_beyond_the_edge(hunter, prey, move):
    position = np.array([[hunter, (5.0, 5.0), prey]])
    assert flee(position, np.zeros(position.shape), 2, 4.0).tolist() == [[move]]


def hunting(env):
    """Hunters that go where the prey is."""
    offset = env.world.position[:, 3:] - env.world.position[:, :3]
    along_x = np.abs(offset[..., 0]) > np.abs(offset[..., 1])
    moves = np.where(along_x, np.where(offset[..., 0] > 0, 2, 1), np.where(offset[..., 1] > 0, 4, 3))
    return {"adversary": moves[..., None]}


def test_hunts_among_obstacles_agree_with_mpe2():
    env = make(envs=30, scenario=TAG)
    mpe2_env = Mpe2Particle(env.config, 30)
    mpe2_env.reset(2)
    copy_worlds(mpe2_env, env)
    fastest, earned = np.zeros(4), 0.0
    for _ in range(env.max_steps):
        commands = hunting(env)
        ours, theirs = env.step(commands), mpe2_env.step(commands)
        np.testing.assert_allclose(env.observe(EXPERT)["adversary"], mpe2_env.observe(EXPERT)["adversary"], atol=1e-5)
        np.testing.assert_array_equal(ours.reward, theirs.reward)
        fastest = np.maximum(fastest, np.linalg.norm(env.world.velocity, axis=-1).max(0))
        earned += ours.reward.mean()
    np.testing.assert_allclose(fastest, [1.0, 1.0, 1.0, 1.3], rtol=1e-6)
    assert earned > 1
    assert 0 < ours.episodes["win_rate"].mean() < 1
    np.testing.assert_array_equal(ours.episodes["win_rate"], theirs.episodes["win_rate"])
    inside = np.abs(env.world.position[:, 3]).max(-1) < 1.2
    assert inside.mean() > 0.9  # it does not flee out of reach, though it may be pushed there


def test_limited_views_are_those_of_mpe2_itself():
    limits = {"neighbors": 2, "landmarks": 3}
    config = make(agents=4, observations={"student": limits}).config
    mpe2_env = Mpe2Particle(config, 1)
    mpe2_env.reset(9)
    real = simple_spread_v3.parallel_env(N=4, num_agent_neighbors=2, num_landmark_neighbors=3)
    real.reset(seed=9)
    worlds = (mpe2_env.copies[0].unwrapped.world, real.unwrapped.world)
    for mine, theirs in zip(*(world.entities for world in worlds), strict=True):
        mine.state.p_pos = theirs.state.p_pos.copy()
    rng = np.random.default_rng(0)
    for _ in range(config.max_steps):
        moves = rng.integers(0, 5, 4)
        mpe2_env.step({"agent": moves[None, :, None]})
        seen, *_ = real.step({f"agent_{index}": int(move) for index, move in enumerate(moves)})
        np.testing.assert_array_equal(mpe2_env.observe(STUDENT)["agent"][0], list(seen.values()))
        assert mpe2_env.observe(EXPERT)["agent"].shape[-1] == 4 + 8 + 6 + 6
        assert mpe2_env.observe(STUDENT)["agent"].shape[-1] == 4 + 6 + 4 + 4


@pytest.mark.parametrize("scenario", [SPREAD, SPEAKER, REFERENCE, TAG])
def test_episodes_start_as_in_mpe2(scenario):
    env, mpe2_env = make(1000, scenario=scenario), Mpe2Particle(make(scenario=scenario).config, 1)
    starts = []
    for seed in range(1000):
        mpe2_env.reset(seed)
        world = mpe2_env.copies[0].unwrapped.world
        starts.append(np.concatenate([entity.state.p_pos for entity in world.entities]))
    ours = np.concatenate([env.world.position, env.world.landmarks], 1).reshape(1000, -1)
    shares = np.linspace(0, 1, 11)
    np.testing.assert_allclose(np.quantile(ours, shares), np.quantile(starts, shares), atol=0.06)
    assert (env.world.velocity == 0).all()
    assert (env.world.spoken == 0).all()
    targets = [np.bincount(column, minlength=3) for column in env.world.target.T if column[0] >= 0]
    assert len(targets) == {SPREAD: 0, SPEAKER: 1, REFERENCE: 2, TAG: 0}[scenario]
    assert all(280 < count < 390 for counts in targets for count in counts)


def bytes_of(env, steps):
    env.reset(7)
    act, parts = episodes.random_commands(2), []
    for _ in range(steps):
        parts.append(env.step(act(env)).reward.tobytes())
        parts += [x.tobytes() for view in (EXPERT, STUDENT) for x in env.observe(view).values()]
        parts += [x.tobytes() for x in env.state().values()]
        env.reset_ended()
    return b"".join(parts)


@pytest.mark.parametrize("scenario", [SPREAD, SPEAKER, REFERENCE, TAG])
def test_same_seed_same_bytes_even_across_resets(scenario):
    one, two = make(scenario=scenario, max_steps=10), make(scenario=scenario, max_steps=10)
    two.step(episodes.random_commands(0)(two))  # a past of its own must not matter
    first = bytes_of(one, 25)
    assert first == bytes_of(two, 25)
    assert first == bytes_of(one, 25)
    two.reset(8)
    assert any((two.observe(EXPERT)[name] != x).any() for name, x in one.observe(EXPERT).items())


def test_what_was_observed_stays_as_it_was():
    env = make()
    seen, kept = env.observe(EXPERT)["agent"], env.observe(EXPERT)["agent"].copy()
    env.step(episodes.random_commands(0)(env))
    env.observe(EXPERT)
    np.testing.assert_array_equal(seen, kept)


def test_only_whole_episodes_have_figures():
    env = make(200, max_steps=4)
    env.reset(0)
    env.desynchronize()
    counts, act = [], episodes.random_commands(0)
    for _ in range(8):
        step = env.step(act(env))
        counts.append(len(step.episodes["return"]))
        assert 0 < step.truncated.sum() < 200
        env.reset_ended()
    assert counts[0] == 0
    assert sum(counts[:4]) < 200
    assert sum(counts[4:]) == 200


def test_words_reach_the_other_agent():
    env = make(1, scenario=REFERENCE)
    env.reset(0)
    env.step({"agent": np.array([[[5 * 7 + 2], [5 * 4 + 1]]])})
    heard = env.observe(EXPERT)["agent"][0, :, -10:]
    assert heard.argmax(1).tolist() == [4, 7]
    assert heard.sum() == 2
    np.testing.assert_allclose(env.world.velocity[0], [[0.5, 0], [-0.5, 0]])


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case.values())))
def test_terms_have_the_sizes_of_what_is_seen(case):
    env = make(**case)
    for view in (EXPERT, STUDENT):
        for group in env.groups:
            shape = (env.num_envs, group.count, observation_size(group.observation[view]))
            assert env.observe(view)[group.name].shape == shape
            assert env.state()[group.name].shape == (*shape[:2], env.state_sizes[group.name])


@pytest.mark.parametrize("action", [-1, 5])
def test_unknown_actions_are_refused(action):
    env = make(1)
    with pytest.raises(KdmarlError, match=f"agent: action {action} does not exist; give 0 to 4"):
        env.step({"agent": np.full((1, 3, 1), action)})


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"scenario": "simple_push"}, "invalid enum value 'simple_push'"),
        ({"agents": 0}, "`int` >= 1"),
        ({"local_ratio": 1.5}, "<= 1"),
        ({"observations": {"student": {"neighbours": 2}}}, "unknown key 'neighbours'; did you mean 'neighbors'"),
        (
            {"observations": {"students": {}}},
            "unknown key 'students'; give one of expert, student; did you mean 'student'",
        ),
        ({"scenario": SPEAKER, "agents": 3}, "agents is 3, and simple_speaker_listener has 2; remove the key"),
        ({"scenario": TAG, "agents": 4}, "agents is 4, and simple_tag has 3; remove the key"),
        ({"scenario": TAG, "local_ratio": 0.5}, "local_ratio is 0.5, and simple_tag has none"),
        ({"scenario": SPEAKER, "local_ratio": 0.5}, "local_ratio is 0.5, and simple_speaker_listener has none"),
        ({"scenario": REFERENCE, "observations": {"student": {"neighbors": 1}}}, "has one other agent"),
    ],
)
def test_bad_tasks_are_refused(task, message):
    with pytest.raises(KdmarlError, match=message):
        convert({"kind": "particle", "scenario": SPREAD} | task, ParticleConfig, "task")
