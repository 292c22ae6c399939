"""SMAX: the same battles as jaxmarl's own environment called directly, in the form that trainers need."""

import itertools
import sys

import numpy as np
import pytest

from kdmarl_core.contract import Discrete, KdmarlError
from kdmarl_core.contract.simulator_terms import ActionMask, Vector
from kdmarl_core.envs.base import EXPERT, STUDENT
from kdmarl_core.envs.smax.smax import Sight, Smax, SmaxConfig
from kdmarl_core.evaluate import episodes

jax = pytest.importorskip("jax", reason="the extra smax is not installed")
pytest.importorskip("jaxmarl", reason="the extra smax is not installed")

B, STEPS = 4, 13
"""One shape and one length for all tests that step: each other one would be compiled for seconds."""


@pytest.fixture
def env():
    env = Smax(config(), B)
    env.reset(5)
    return env


def config(**changes) -> SmaxConfig:
    return SmaxConfig(scenario="2s3z", max_steps=STEPS - 1, **changes)


def with_health(env, ally, enemy):
    """Set the health of both sides, each (B,) or None to leave it."""
    state = env._states.state
    health = np.array(state.unit_health)
    for side, value in ((slice(None, 5), ally), (slice(5, None), enemy)):
        health[:, side] = np.where(np.isnan(value)[:, None], health[:, side], np.array(value)[:, None])
    env._states = env._states.replace(state=state.replace(unit_health=jax.numpy.asarray(health)))


def test_groups_are_the_unit_types_that_the_scenario_fixes(env):
    expected = [Vector(127), ActionMask(10)]
    assert [(g.name, g.agents, g.observation[STUDENT], g.action) for g in env.groups] == [
        ("stalker", slice(0, 2), expected, Discrete(10)),
        ("zealot", slice(2, 5), expected, Discrete(10)),
    ]
    assert env.state_sizes == {name: x.shape[-1] for name, x in env.state().items()} == {"stalker": 125, "zealot": 125}
    assert {name: x.shape for name, x in env.observe(EXPERT).items()} == {
        "stalker": (B, 2, 137), "zealot": (B, 3, 137),
    }  # fmt: skip
    assert SmaxConfig(scenario="3s5z_vs_3s6z").units() == [("stalker", 3), ("zealot", 5)]
    assert SmaxConfig(scenario="6h_vs_8z").units() == [("hydralisk", 6)]
    assert SmaxConfig(scenario="smacv2_5_units").units() == [("ally", 5)]


def test_every_step_is_that_of_jaxmarl():
    from jaxmarl.environments.smax import HeuristicEnemySMAX, map_name_to_scenario

    ours = Smax(config(), B)
    ours.reset(5)
    theirs = HeuristicEnemySMAX(scenario=map_name_to_scenario("2s3z"), max_steps=STEPS - 1)
    keys = np.random.SeedSequence(5).generate_state(2 * B + 1)[: 2 * B].reshape(B, 2)
    key, own = jax.random.split(keys[1])
    seen, state = theirs.reset(own)
    act = episodes.random_commands(3)
    rewards = 0.0
    for count in range(STEPS):
        check(ours, theirs, seen, state)
        commands = act(ours)
        chosen = np.concatenate([commands["stalker"], commands["zealot"]], 1)[1, :, 0]
        step = ours.step(commands)
        key, own = jax.random.split(key)
        seen, state, reward, done, _ = theirs.step_env(own, state, dict(zip(theirs.agents, chosen, strict=True)))
        np.testing.assert_allclose(step.reward[1], [reward[agent] for agent in theirs.agents], rtol=1e-4, atol=1e-6)
        assert bool(done["__all__"]) == (step.terminated | step.truncated)[1] == (count == STEPS - 1)
        rewards += step.reward[1, 0]
    check(ours, theirs, seen, state)
    np.testing.assert_allclose(step.episodes["return"][1], rewards, rtol=1e-5)
    assert rewards > 0


def check(ours, theirs, seen, state):
    """The second battle of ours is theirs."""
    available = theirs.get_avail_actions(state)
    expected = np.array([np.concatenate([seen[agent], available[agent]]) for agent in theirs.agents])
    found = np.concatenate([x[1] for x in ours.observe(EXPERT).values()])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    central = np.concatenate([x[1] for x in ours.state().values()])
    np.testing.assert_allclose(central[3], [*seen["world_state"], 0, 0, 0, 1, 0], rtol=1e-4, atol=1e-4)


def test_the_same_seed_gives_the_same_bytes_and_nothing_is_compiled_twice(env):
    def play(seed):
        env.reset(seed)
        env.desynchronize()
        act, found = episodes.random_commands(0), []
        for _ in range(2 * STEPS):
            found += [x.tobytes() for x in (*env.observe(STUDENT).values(), *env.state().values())]
            step = env.step(act(env))
            found += [step.reward.tobytes(), step.terminated.tobytes(), step.truncated.tobytes()]
            env.reset_ended()
        return found

    one, two, other = play(7), play(7), play(8)
    assert one == two != other
    for compiled in (env._simulator._advance, env._simulator._restart, env._simulator._look):
        assert compiled._cache_size() <= 2  # this shape, and perhaps that of another test


def test_battles_end_by_death_or_by_time_and_keep_their_last_state(env):
    act, nan = episodes.random_commands(1), np.nan
    for _ in range(STEPS - 1):
        assert not env.step(act(env)).truncated.any()
    with_health(env, ally=np.array([nan, 0, 0, nan]), enemy=np.array([0, nan, 0, nan]))
    step = env.step(act(env))
    assert step.terminated.tolist() == [True, True, True, False]
    assert step.truncated.tolist() == [False, False, False, True]
    assert step.episodes["win_rate"].tolist() == [[1] * 5, [0] * 5, [0] * 5, [0] * 5]
    assert step.reward[0, 0] >= 1 > step.reward[1, 0]
    last = env.observe(EXPERT)["zealot"].copy()
    np.testing.assert_array_equal(env.observe(EXPERT)["zealot"], last)
    assert (last[1, :, 127:].sum(-1) == 1).all()  # the dead can only stop
    env.reset_ended()
    assert (env.observe(EXPERT)["zealot"] != last).any((1, 2)).all()
    assert not env.step(act(env)).truncated.any()


def test_desynchronized_battles_have_different_ages_and_are_not_counted(env):
    env.desynchronize()
    ages = np.array(env._states.state.step)
    assert len(set(ages.tolist())) > 1
    act = episodes.random_commands(1)
    counted = 0
    for _ in range(STEPS - int(ages.min())):
        counted += len(env.step(act(env)).episodes["return"])
        env.reset_ended()
    assert counted < B


def test_actions_that_are_not_available_do_nothing_and_others_are_refused(env):
    attack = {group.name: np.full((B, group.count, 1), 7) for group in env.groups}
    assert not env.observe(EXPERT)["stalker"][..., 127 + 7].any()
    assert env.step(attack).reward.max() == 0
    with pytest.raises(KdmarlError, match="2s3z: action 10 does not exist; give 0 to 9"):
        env.step({group.name: np.full((B, group.count, 1), 10) for group in env.groups})


def test_focus_fire_is_the_share_of_attacks_that_others_join(env):
    """Counted anew from the actions, one battle and agent after the other."""
    rng = np.random.default_rng(0)
    attacks, joint = np.zeros((B, 5)), np.zeros((B, 5))
    for _ in range(STEPS):
        masks = np.concatenate([x[..., 127:] for x in env.observe(EXPERT).values()], 1)
        # Towards the enemies, and at the first or second of those within reach.
        chosen = np.where(masks[..., 5:].any(-1), 0, 1)
        for battle, agent in itertools.product(range(B), range(5)):
            reach = np.flatnonzero(masks[battle, agent, 5:])
            if reach.size:
                chosen[battle, agent] = 5 + rng.choice(reach[:2])
            elif not masks[battle, agent, 1]:
                chosen[battle, agent] = 4
        for battle, agent in itertools.product(range(B), range(5)):
            if chosen[battle, agent] >= 5:
                attacks[battle, agent] += 1
                others = np.delete(chosen[battle], agent)
                joint[battle, agent] += (others == chosen[battle, agent]).any()
        step = env.step({g.name: chosen[:, g.agents, None] for g in env.groups})
        assert not step.terminated.any()
    assert attacks.sum() > 20
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(step.episodes["focus_fire"], joint / attacks)


def test_a_view_of_the_nearest_units_leaves_out_the_others(env):
    env.config = config(observations={"student": Sight(allies=1, enemies=2)})
    act = episodes.random_commands(2)
    for _ in range(8):
        env.step(act(env))
    full, limited = (env.observe(view)["zealot"] for view in (EXPERT, STUDENT))
    np.testing.assert_array_equal(limited[..., 117:], full[..., 117:])  # itself, and what it may do
    left_out = 0
    for everybody, kept in zip(full.reshape(-1, 137), limited.reshape(-1, 137), strict=True):
        for units, seen, count in ((slice(0, 4), kept, 1), (slice(4, 9), kept, 2)):
            before, after = everybody[:117].reshape(9, 13)[units], seen[:117].reshape(9, 13)[units]
            distance = np.where(before.any(-1), np.hypot(before[:, 1], before[:, 2]), np.inf)
            near = np.argsort(distance, kind="stable")[:count]
            expected = np.zeros_like(before)
            expected[near] = before[near]
            np.testing.assert_array_equal(after, expected)
            left_out += np.isfinite(distance).sum() > count
    assert left_out > 5


def test_unknown_scenarios_are_refused_with_the_nearest_known():
    with pytest.raises(KdmarlError, match="unknown scenario '2s3s'; did you mean '2s3z'?"):
        Smax(SmaxConfig(scenario="2s3s"), 1)
    with pytest.raises(KdmarlError, match="unknown scenario 'corridor'; jaxmarl has 3m, 2s3z"):
        Smax(SmaxConfig(scenario="corridor"), 1)


def test_without_jaxmarl_the_extra_is_named(monkeypatch):
    monkeypatch.delitem(sys.modules, "kdmarl_core.envs.smax.simulator")
    monkeypatch.delattr("kdmarl_core.envs.smax.simulator")
    monkeypatch.setitem(sys.modules, "jaxmarl.environments.smax", None)
    with pytest.raises(KdmarlError, match=r"is not installed; pip install kdmarl_ros\[smax\]"):
        config().units()
