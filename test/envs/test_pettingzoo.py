"""PettingZoo both ways: anybody's environment as a batch of ours, and ours as one of theirs."""

import warnings

import msgspec
import numpy as np
import pytest
import yaml
from gymnasium import spaces
from mpe2 import simple_speaker_listener_v4, simple_spread_v3
from pettingzoo import ParallelEnv
from pettingzoo.test import parallel_api_test

from kdmarl_core.contract import Discrete, KdmarlError
from kdmarl_core.contract.simulator_terms import ActionMask, Vector
from kdmarl_core.envs.base import EXPERT, STUDENT
from kdmarl_core.envs.parallel_view import ParallelView
from kdmarl_core.envs.particle.config import ParticleConfig
from kdmarl_core.envs.particle.particle import Particle
from kdmarl_core.envs.pettingzoo import PettingZooEnv
from kdmarl_core.envs.robots.navigation import Navigation, NavigationConfig
from kdmarl_core.evaluate import episodes
from support import REPOSITORY
from toy import Echo


class Relay(ParallelEnv):
    """``red_0``, ``blue`` and ``red_1`` are out after ``lives`` steps each; a reward is the own action."""

    def __init__(self, lives=(5, 2, 4), truncates=False, reds=(2, 2), action=None):
        self.possible_agents = ["red_0", "blue", "red_1"]
        self.lives, self.truncates = dict(zip(self.possible_agents, lives, strict=True)), truncates
        sizes = {"red_0": reds[0], "blue": 3, "red_1": reds[1]}
        self.seen = {agent: spaces.Box(-np.inf, np.inf, (size,)) for agent, size in sizes.items()}
        self.actions = {agent: action or spaces.Discrete(4) for agent in sizes}

    def observation_space(self, agent):
        return self.seen[agent]

    def action_space(self, agent):
        return self.actions[agent]

    def observe(self):
        return {agent: np.full(self.seen[agent].shape, self.time + self.start) for agent in self.agents}

    def reset(self, seed=None, options=None):
        self.start = np.random.default_rng(seed).random()
        self.time, self.agents, self.received = 0, self.possible_agents[:], []
        return self.observe(), {agent: {} for agent in self.agents}

    def step(self, actions):
        assert set(actions) == set(self.agents)
        self.time += 1
        self.received.append(actions)
        out = {agent: self.time >= self.lives[agent] for agent in self.agents}
        no = dict.fromkeys(self.agents, False)
        given = self.observe(), {agent: float(action) for agent, action in actions.items()}
        self.agents = [agent for agent in self.agents if not out[agent]]
        return *given, *((no, out) if self.truncates else (out, no)), {agent: {} for agent in no}


def relay(envs=2, max_steps=10, types=None, **changes) -> PettingZooEnv:
    env = PettingZooEnv(lambda: Relay(**changes), envs, max_steps, types)
    env.reset(1)
    return env


def choose(env, red=(1, 3), blue=2):
    ones = np.ones((env.num_envs, 1, 1))
    return {"red": ones * np.array(red)[:, None], "blue": ones * blue}


def test_agents_are_grouped_by_the_names_of_their_types():
    env = relay()
    assert env.agents == ["red_0", "red_1", "blue"]
    assert [(g.name, g.agents, g.observation[STUDENT], g.action) for g in env.groups] == [
        ("red", slice(0, 2), [Vector(2)], Discrete(4)),
        ("blue", slice(2, 3), [Vector(3)], Discrete(4)),
    ]
    assert env.state_sizes == {"red": 5, "blue": 4}
    assert {name: x.shape for name, x in env.state().items()} == {"red": (2, 2, 5), "blue": (2, 1, 4)}
    named = relay(types={"red_0": "left", "red_1": "right", "blue": "middle"})
    assert [group.name for group in named.groups] == ["left", "middle", "right"]


def test_agents_that_are_out_wait_for_the_others():
    env = relay()
    start = env.observe(EXPERT)["blue"][:, 0, 0].copy()
    rewards, steps = [], []
    for _ in range(5):
        steps.append(env.step(choose(env)))
        rewards.append(steps[-1].reward[0].tolist())
    assert rewards == [[1, 3, 2], [1, 3, 2], [1, 3, 0], [1, 3, 0], [1, 0, 0]]
    assert [step.terminated.all() for step in steps] == [False] * 4 + [True]
    assert not any(step.truncated.any() for step in steps)
    assert steps[-1].episodes["return"].tolist() == [[5, 12, 4]] * 2
    assert all(len(step.episodes["return"]) == 0 for step in steps[:-1])
    np.testing.assert_allclose(env.observe(STUDENT)["blue"][:, 0, 0], start + 2)  # the last that it saw
    np.testing.assert_allclose(env.observe(STUDENT)["red"][:, 0, 0], start + 5)
    assert env.copies[1].received[0] == {"red_0": 1, "blue": 2, "red_1": 3}


@pytest.mark.parametrize(
    ("changes", "ends_after", "truncated"),
    [({}, 5, False), ({"truncates": True}, 5, True), ({"max_steps": 3}, 3, True)],
)
def test_episodes_end_by_the_environment_or_by_time(changes, ends_after, truncated):
    env = relay(**changes)
    for count in range(1, ends_after + 1):
        step = env.step(choose(env))
        assert (step.truncated | step.terminated).all() == (count == ends_after)
    assert step.truncated.all() == truncated
    env.reset_ended()
    assert [copy.time for copy in env.copies] == [0, 0]


def test_episodes_depend_on_seed_copy_and_number_only():
    def starts(env, lives):
        env.reset(4)
        for copy, life in zip(env.copies, lives, strict=True):
            copy.lives = dict.fromkeys(copy.lives, life)
        found = [[copy.start] for copy in env.copies]
        for _ in range(8):
            env.step(choose(env))
            ended = env._ended.copy()
            env.reset_ended()
            for index in np.flatnonzero(ended):
                found[index].append(env.copies[index].start)
        return found

    fast, slow = starts(relay(), (2, 1)), starts(relay(), (4, 8))
    assert fast[0][:3] == slow[0]
    assert fast[1][:2] == slow[1]
    assert len({start for row in fast for start in row}) == sum(map(len, fast))


def test_desynchronized_copies_have_different_ages_and_count_from_the_next_episode_on():
    env = relay(envs=12, lives=(9, 9, 9))
    env.desynchronize()
    assert len({copy.time for copy in env.copies}) > 3
    counts = np.zeros(2, int)
    for step in range(18):
        counts[step // 9] += len(env.step(choose(env)).episodes["return"])
        env.reset_ended()
    whole = sum(copy.time == 0 for copy in env.copies)
    assert counts[1] == 12
    assert counts[0] <= whole + 2  # those whose age was drawn as 0, or who had just begun again


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"reds": (2, 3), "types": {"red_0": "red", "red_1": "red", "blue": "blue"}},
            "type 'red': observation spaces of red_0 and red_1 differ",
        ),
        ({"action": spaces.Box(-np.inf, 1, (2,))}, r"red_0: acts in Box.*only Discrete\(n\) from 0 and a Box of one"),
        ({"action": spaces.Box(-1, 1, (2, 2))}, r"red_0: acts in Box.*only Discrete\(n\) from 0 and a Box of one"),
        ({"action": spaces.Discrete(3, start=1)}, r"only Discrete\(n\) from 0"),
        ({"types": {"red_0": "red"}}, "agent 'blue' has none"),
        ({"types": {"red_0": "all", "red_1": "all", "blue": "all"}}, "observation spaces of red_0 and blue differ"),
    ],
)
def test_environments_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(KdmarlError, match=message):
        relay(**changes)


class Skirmish(ParallelEnv):
    """The interface of SMAC's wrapper: masks beside observations, and who chooses what is masked is refused.

    ``marine_0``, ``zealot_0`` and ``marine_1`` may do something else in every step. The dead go on, and can only wait.
    """

    def __init__(self, actions=4, mask=4):
        self.possible_agents = ["marine_0", "zealot_0", "marine_1"]
        space = {
            "observation": spaces.Box(-1, 1, (3,), np.float32),
            "action_mask": spaces.Box(0, 1, (mask,), np.int8),
        }
        self.seen, self.actions = spaces.Dict(space), spaces.Discrete(actions)

    def observation_space(self, agent):
        return self.seen

    def action_space(self, agent):
        return self.actions

    def observe(self):
        dead = dict.fromkeys(self.agents[:1] if self.time >= 3 else [], True)
        self.masks = {
            agent: np.array([1, 0, 0, 0] if dead.get(agent) else [0, 1, *self.rng.integers(0, 2, 2)], np.int8)
            for agent in self.agents
        }
        return {
            agent: {"observation": self.rng.uniform(-1, 1, 3).astype(np.float32), "action_mask": self.masks[agent]}
            for agent in self.agents
        }

    def reset(self, seed=None, options=None):
        self.rng, self.time, self.agents = np.random.default_rng(seed), 0, self.possible_agents[:]
        return self.observe(), {agent: {} for agent in self.agents}

    def step(self, actions):
        assert all(self.masks[agent][action] for agent, action in actions.items())
        self.time += 1
        over = dict.fromkeys(self.agents, self.time >= 6)
        no = dict.fromkeys(self.agents, False)
        given = self.observe(), dict.fromkeys(self.agents, 0.5)
        self.agents = [] if self.time >= 6 else self.agents
        return *given, over, no, {agent: {} for agent in no}


def test_action_masks_as_smac_gives_them():
    env = PettingZooEnv(Skirmish, 3, 10)
    terms = [Vector(3), ActionMask(4)]
    assert [(g.name, g.count, g.observation[STUDENT]) for g in env.groups] == [
        ("marine", 2, terms),
        ("zealot", 1, terms),
    ]
    env.reset(1)
    env.desynchronize()
    act = episodes.random_commands(0)
    for _ in range(20):  # what is masked is refused
        for index, copy in enumerate(env.copies):
            masks = np.concatenate([seen[index, :, 3:] for seen in env.observe(EXPERT).values()])
            assert masks.tolist() == [copy.masks[agent].tolist() for agent in env.agents]
        env.step(act(env))
        env.reset_ended()
    figures = episodes.run(env, act, 6, seed=2)
    assert (figures["return"] == 3).all()


def test_masks_must_fit_the_actions():
    with pytest.raises(KdmarlError, match="marine_0: its action_mask is Box.*and it acts in Discrete"):
        PettingZooEnv(lambda: Skirmish(mask=5), 1, 10)


@pytest.mark.parametrize(
    ("module", "types"),
    [(simple_spread_v3, {"agent": 3}), (simple_speaker_listener_v4, {"speaker": 1, "listener": 1})],
)
def test_mpe2_as_it_is(module, types):
    env = PettingZooEnv(module.parallel_env, 2, 25)
    assert {group.name: group.count for group in env.groups} == types
    env.reset(3)
    act = episodes.random_commands(0)
    for count in range(25):
        step = env.step(act(env))
        for index, copy in enumerate(env.copies):
            seen = np.concatenate([env.observe(EXPERT)[name][index].ravel() for name in types])
            np.testing.assert_array_equal(seen, copy.state())
            if count < 24:  # mpe2 forgets them at the end
                assert step.reward[index].tolist() == pytest.approx(list(copy.unwrapped.rewards.values()))
    assert step.truncated.all()
    assert (step.episodes["return"] < -1).all()


def particle(scenario="simple_spread") -> Particle:
    return Particle(ParticleConfig(scenario=scenario), 1)


def navigation() -> Navigation:
    task = yaml.safe_load((REPOSITORY / "config/navigation.yaml").read_text())["task"] | {"max_steps": 30}
    return Navigation(msgspec.convert(task, NavigationConfig), REPOSITORY / "config", 1)


@pytest.mark.parametrize("view", [EXPERT, STUDENT])
@pytest.mark.parametrize(
    "make",
    [
        particle,
        lambda: particle("simple_speaker_listener"),
        lambda: particle("simple_reference"),
        lambda: particle("simple_tag"),
        navigation,
    ],
    ids=["spread", "speaker_listener", "reference", "tag", "navigation"],
)
def test_ours_pass_the_api_test_of_pettingzoo(make, view):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parallel_api_test(ParallelView(make(), view), num_cycles=60)


def test_ours_as_theirs_as_ours_again_is_the_same_task():
    there_and_back = PettingZooEnv(lambda: ParallelView(particle("simple_speaker_listener")), 3, 25)
    plain = particle("simple_speaker_listener")
    assert there_and_back.groups == plain.groups
    there_and_back.reset(2)
    copy = there_and_back.copies[1].env
    plain.reset(0)
    for name in ("position", "velocity", "landmarks", "target", "spoken"):
        getattr(plain.world, name)[:] = getattr(copy.world, name)
    act = episodes.random_commands(0)
    for _ in range(25):
        commands = act(there_and_back)
        theirs, ours = there_and_back.step(commands), plain.step({name: x[1:2] for name, x in commands.items()})
        np.testing.assert_array_equal(theirs.reward[1], ours.reward[0])
        for name, x in plain.state().items():
            np.testing.assert_array_equal(there_and_back.state()[name][1], x[0])
    assert theirs.truncated.all()
    np.testing.assert_allclose(theirs.episodes["return"][1], ours.episodes["return"][0], rtol=1e-6)


def test_a_view_gives_seeded_episodes_and_their_figures():
    view = ParallelView(Echo(1))
    assert view.possible_agents == ["wheeled_0", "wheeled_1", "chooser_0"]
    assert isinstance(view.action_space("chooser_0"), spaces.Discrete)
    np.testing.assert_array_equal(view.action_space("wheeled_1").high, [1, 2])
    first, _ = view.reset(seed=3)
    following, _ = view.reset()
    again, _ = view.reset(seed=3)
    np.testing.assert_array_equal(first["wheeled_0"], again["wheeled_0"])
    assert (first["wheeled_0"] != following["wheeled_0"]).any()
    seen = again
    for _ in range(5):
        actions = {
            "wheeled_0": seen["wheeled_0"],
            "wheeled_1": seen["wheeled_1"],
            "chooser_0": seen["chooser_0"].argmax(),
        }
        seen, reward, terminated, truncated, infos = view.step(actions)
        assert reward == {"wheeled_0": 1, "wheeled_1": 1, "chooser_0": 1}
    assert all(truncated.values())
    assert not any(terminated.values())
    assert infos["wheeled_1"] == {"return": 5.0, "success": 1.0}
    assert view.agents == []
    assert view.state().shape == (3,)


def test_a_view_is_of_one_environment():
    with pytest.raises(KdmarlError, match="the batch has 2 environments; make one with num_envs=1"):
        ParallelView(Echo(2))


def test_agents_of_one_name_and_other_spaces_are_types_of_their_own():
    env = relay(reds=(2, 3))
    assert {(group.name, group.count) for group in env.groups} == {("red_0", 1), ("red_1", 1), ("blue", 1)}
