"""Advantages against a slow reference; learning on a task whose optimum is known."""

import numpy as np
import pytest
import torch

from kdmarl_core.contract import KdmarlError
from kdmarl_core.envs.base import EXPERT
from kdmarl_core.expert.networks import NetworkConfig, make_critics
from kdmarl_core.expert.policies import make_policy
from kdmarl_core.expert.ppo import PPO, PPOConfig, Rollout, gae
from toy import Echo

SMALL = NetworkConfig(hidden=(32, 32))


def slow_gae(reward, value, next_value, terminated, ended, gamma, lam):
    """The definition: discounted sum of temporal-difference errors up to the episode's end."""
    steps = len(reward)
    delta = [reward[t] + gamma * next_value[t] * (not terminated[t]) - value[t] for t in range(steps)]
    result = []
    for t in range(steps):
        total, weight = 0.0, 1.0
        for k in range(t, steps):
            total += weight * delta[k]
            weight *= gamma * lam
            if ended[k]:
                break
        result.append(total)
    return result


def test_gae_matches_its_definition():
    rng = np.random.default_rng(0)
    steps, envs, agents = 12, 5, 2
    reward, value, next_value = (torch.from_numpy(rng.normal(size=(steps, envs, agents))) for _ in range(3))
    terminated = torch.from_numpy(rng.random((steps, envs)) < 0.15)
    ended = terminated | torch.from_numpy(rng.random((steps, envs)) < 0.15)
    got = gae(reward, value, next_value, terminated, ended, 0.97, 0.9)
    for b in range(envs):
        for i in range(agents):
            columns = (x[:, b, i].tolist() for x in (reward, value, next_value))
            expected = slow_gae(*columns, terminated[:, b].tolist(), ended[:, b].tolist(), 0.97, 0.9)
            assert got[:, b, i].tolist() == pytest.approx(expected)


def test_rollout_bootstraps_with_the_state_before_the_reset():
    env = Echo(6)
    policy, critics = make_policy("decentralized", env.groups, SMALL), make_critics(env, SMALL, EXPERT)
    batch, episodes = Rollout(env, EXPERT).collect(policy, critics, 12)
    assert batch.reward["wheeled"].shape == (12, 6, 2)
    assert batch.ended[4].all()
    assert not batch.terminated.any()
    assert sum(len(episode["return"]) for episode in episodes) == 12
    for t in range(11):
        if not batch.ended[t].any():
            torch.testing.assert_close(batch.next_value["chooser"][t], batch.value["chooser"][t + 1])


@pytest.mark.parametrize("kind", ["decentralized", "centralized"])
def test_both_policies_and_both_action_kinds_learn(kind):
    torch.manual_seed(0)
    env = Echo(64)
    policy, critics = make_policy(kind, env.groups, SMALL), make_critics(env, SMALL, EXPERT)
    learner = PPO(policy, critics, PPOConfig(learning_rate=3e-3, epochs=6, minibatches=4, kl_stop=0.05))
    rollout = Rollout(env, EXPERT)
    rewards = []
    for _ in range(60):
        batch, _ = rollout.collect(policy, critics, 10)
        learner.update(batch)
        rewards.append({name: r.mean().item() for name, r in batch.reward.items()})
    assert rewards[0]["chooser"] < 0.5
    assert rewards[-1]["chooser"] > 0.9
    assert rewards[-1]["wheeled"] > rewards[0]["wheeled"] + 0.6


def test_a_loss_that_is_not_finite_stops_training_and_keeps_the_networks():
    env = Echo(4)
    policy, critics = make_policy("decentralized", env.groups, SMALL), make_critics(env, SMALL, EXPERT)
    learner = PPO(policy, critics, PPOConfig())
    batch, _ = Rollout(env, EXPERT).collect(policy, critics, 4)
    batch.reward["wheeled"][0, 0, 0] = torch.nan
    with pytest.raises(KdmarlError, match="loss is nan"):
        learner.update(batch)
    assert all(torch.isfinite(p).all() for p in policy.parameters())
