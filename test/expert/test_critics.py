"""Critics that are fitted to an expert tell its returns, also where it would not be."""

import json

import numpy as np
import pytest
import torch

from kdmarl_core.contract import Discrete, KdmarlError
from kdmarl_core.contract.simulator_terms import Vector
from kdmarl_core.envs.base import EXPERT, STUDENT, BatchedEnv, Group, Step
from kdmarl_core.expert.critics import CriticsConfig, _Wandering, explained_variance, fit_critics
from kdmarl_core.expert.foreign import ForeignConfig, wrap
from kdmarl_core.expert.networks import NetworkConfig, make_critics
from kdmarl_core.expert.policies import observe
from kdmarl_core.expert.ppo import Rollout
from toy import Doors, Echo, perfect_expert

SMALL = CriticsConfig(network=NetworkConfig(hidden=(32,)), envs=48, steps=20, iterations=20, learning_rate=3e-3)


class Corridor(BatchedEnv):
    """One agent goes left, stays or goes right among 0 to 8, and is charged for its distance from 0; 1 is the start."""

    def __init__(self, num_envs):
        self.num_envs, self.num_agents, self.max_steps, self.control_period = num_envs, 1, 20, 0.1
        terms = [Vector(1)]
        self.groups = (Group("agent", slice(0, 1), {EXPERT: terms, STUDENT: terms}, Discrete(3)),)
        self.state_sizes = {"agent": 0}
        self.reset(0)

    def reset(self, seed):
        self.rng, self.steps = np.random.default_rng(seed), np.zeros(self.num_envs, int)
        self.place = np.ones((self.num_envs, 1))

    def desynchronize(self):
        self.steps = self.rng.integers(0, self.max_steps, self.num_envs)

    def reset_ended(self):
        self.place[self.ended] = 1
        self.steps[self.ended] = 0

    def step(self, actions):
        self.place = np.clip(self.place + actions["agent"][..., 0] - 1, 0, 8)
        self.steps += 1
        self.ended = self.steps >= self.max_steps
        ended = {"return": np.zeros((int(self.ended.sum()), 1))}
        return Step(-self.place.astype(np.float32), np.zeros(self.num_envs, bool), self.ended.copy(), ended)

    def observe(self, view):
        return {"agent": self.place[..., None].astype(np.float32)}

    def state(self):
        return {"agent": np.zeros((self.num_envs, 1, 0), np.float32)}


def left(observation):
    return {"agent": np.zeros(observation["agent"].shape[:2], int)}


def expert(env):
    return wrap(left, env, ForeignConfig(from_="a:b", spread=0.01))


def values(critics, places):
    with torch.no_grad():
        return critics["agent"].value(torch.tensor(places)[:, None])


def test_values_are_the_experts_returns_also_where_it_would_not_be():
    """From 3 the expert loses 2 and then 1; it is hardly ever there by itself."""
    config = CriticsConfig(**{**_keys(SMALL), "gamma": 0.9, "wander": 1.0})
    critics = fit_critics(Corridor, expert(Corridor(1)), config, seed=3)
    assert values(critics, [1.0]).item() == pytest.approx(-0.1, abs=0.4)
    assert values(critics, [3.0]).item() == pytest.approx(-2 - 0.9, abs=0.7)


def _keys(config):
    return {name: getattr(config, name) for name in config.__struct_fields__}


def test_explained_variance_is_high_once_they_are_fitted_and_not_before():
    env = Echo(1)
    still = wrap(_still, env, ForeignConfig(from_="a:b", spread=0.01))
    critics = fit_critics(Echo, still, CriticsConfig(**{**_keys(SMALL), "gamma": 0.0, "gae_lambda": 0.0}), seed=0)
    config = CriticsConfig(**{**_keys(SMALL), "gamma": 0.0})
    fitted = explained_variance(Echo, still, critics, config, seed=5)
    torch.manual_seed(0)
    fresh = explained_variance(Echo, still, make_critics(env, SMALL.network, EXPERT), config, seed=5)
    assert min(fitted.values()) > 0.8
    assert max(fresh.values()) < 0.5


def _still(observation):
    """Commands nothing, so that what is shown tells what it costs."""
    return {"wheeled": 0 * observation["wheeled"], "chooser": np.zeros(observation["chooser"].shape[:2], int)}


def test_the_same_seed_gives_the_same_critics(tmp_path):
    made = [
        fit_critics(Echo, perfect_expert(Echo(1)), CriticsConfig(**{**_keys(SMALL), "iterations": 3}), 7, tmp_path)
        for _ in range(2)
    ]
    for one, other in zip(made[0].state_dict().values(), made[1].state_dict().values(), strict=True):
        torch.testing.assert_close(one, other)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["iteration"] for row in rows] == [0, 1, 2]
    assert {"value_loss", "reward", "seconds/rollout", "seconds/update"} < rows[0].keys()


def test_wandering_agents_act_at_random_for_as_long_as_they_are_to():
    env = Echo(6)
    wandering = _Wandering(perfect_expert(env))
    wandering.start(torch.tensor([0, 1, 2, 3, 0, 0]))
    seen = observe(env, EXPERT)
    decided = [wandering(seen) for _ in range(4)]
    expert = perfect_expert(env)(seen)
    for step, each in enumerate(decided):
        as_expert = (each["wheeled"].mean == expert["wheeled"].mean).all(-1).all(-1)
        assert as_expert.tolist() == [until <= step for until in (0, 1, 2, 3, 0, 0)]
        assert ((each["chooser"].logits == 0).all(-1).all(-1) == ~as_expert).all()
    torch.testing.assert_close(decided[0]["wheeled"].mean[3], decided[2]["wheeled"].mean[3])


def test_wandering_keeps_to_the_action_mask():
    env = Doors(64)
    expert = wrap(
        lambda o: {name: np.arange(4.0) + 0 * x[..., :4] for name, x in o.items()}, env, ForeignConfig(from_="a:b")
    )
    wandering = _Wandering(expert)
    wandering.start(torch.full((64,), 99))
    critics = make_critics(env, NetworkConfig(hidden=(8,)), EXPERT)
    Rollout(env, EXPERT).collect(wandering, critics, 10)  # which a closed door would end


def test_a_loss_that_is_not_finite_ends_it():
    class Broken(Echo):
        def step(self, actions):
            return super().step(actions)._replace(reward=np.full((self.num_envs, 3), np.nan, np.float32))

    with pytest.raises(KdmarlError, match="critics: iteration 0: the loss is nan; lower expert.critics.learning_rate"):
        fit_critics(Broken, perfect_expert(Echo(1)), SMALL)
