"""Distilled advantage: students improve under a frozen critic, and nothing else changes."""

import numpy as np
import pytest
import torch
from torch import nn

from kdmarl_core.contract import KdmarlError
from kdmarl_core.distill.distill import DistillConfig, distill, make_students
from kdmarl_core.distill.losses import LossWeights
from kdmarl_core.distill.polish import PolishConfig, Polisher, _Driven
from kdmarl_core.envs.base import EXPERT
from kdmarl_core.expert.networks import NetworkConfig, make_critics
from kdmarl_core.expert.policies import make_policy
from kdmarl_core.expert.ppo import PPOConfig
from toy import Echo

SMALL = NetworkConfig(hidden=(32,), log_std=-0.5)
CONFIG = DistillConfig(students={"wheeled": SMALL, "chooser": SMALL}, envs=64, steps=10)
POLISH = PolishConfig(rounds=40, steps=10, learning_rate=3e-3)


def build(polish, seed=0):
    torch.manual_seed(seed)
    env = Echo(64)
    expert, critics = make_policy("decentralized", env.groups, SMALL), make_critics(env, SMALL, EXPERT)
    students = make_students(CONFIG, env.groups)
    return env, Polisher(polish, LossWeights(), env, expert, critics, students, PPOConfig(gamma=0.0))


def mean_reward(env, students, steps=50):
    rewards = []
    with torch.no_grad():
        for _ in range(steps):
            seen = {name: torch.from_numpy(x) for name, x in env.observe("student").items()}
            commands = students.command({name: d.mode() for name, d in students(seen).items()})
            rewards.append(env.step({name: command.numpy() for name, command in commands.items()}).reward.mean())
            env.reset_ended()
    return float(np.mean(rewards))


def test_students_outgrow_an_expert_that_knows_nothing():
    """The expert is untrained, so all that is learned comes from rewards; its critic is a poor but valid baseline."""
    env, polisher = build(POLISH)
    before = mean_reward(env, polisher.students)
    for index in range(POLISH.rounds):
        polisher.round(index)
    assert mean_reward(env, polisher.students) > before + 0.3


def test_the_learning_rate_falls_in_the_last_rounds():
    _, polisher = build(PolishConfig(rounds=4, steps=5, learning_rate=0.01, decay=0.5))
    rates = []
    for index in range(4):
        polisher.round(index)
        rates.append(polisher._optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([0.01, 0.01, 0.01, 0.005])


def test_the_share_rises_and_the_expert_stays():
    _, polisher = build(PolishConfig(rounds=4, steps=5, first_share=0.2, share=0.8))
    kept = {name: value.clone() for name, value in polisher.expert.state_dict().items()}
    judged = {name: value.clone() for name, value in polisher.critics.state_dict().items()}
    shares = [polisher.round(index)["advantage_share"] for index in range(4)]
    assert shares == pytest.approx([0.2, 0.4, 0.6, 0.8])
    for before, module in ((kept, polisher.expert), (judged, polisher.critics)):
        for name, value in module.state_dict().items():
            torch.testing.assert_close(value, before[name])


def test_the_entropy_bonus_keeps_students_trying():
    def spread(bonus):
        env, polisher = build(PolishConfig(rounds=20, steps=10, learning_rate=3e-3, entropy_bonus=bonus))
        for index in range(20):
            polisher.round(index)
        with torch.no_grad():
            decided = polisher.students({n: torch.from_numpy(x) for n, x in env.observe("student").items()})
        return {name: distribution.entropy().mean().item() for name, distribution in decided.items()}

    without, with_bonus = spread(0.0), spread(0.3)
    assert all(with_bonus[name] > without[name] + 0.05 for name in without)


def test_a_loss_that_is_not_finite_ends_it():
    _, polisher = build(PolishConfig(rounds=1, steps=5))
    nn.init.constant_(polisher.students.actor("wheeled").net[-1].bias, float("nan"))
    with pytest.raises(KdmarlError, match="loss is nan"):
        polisher.round(0)


def driven(polisher):
    batch, _ = polisher._rollout.collect(polisher.students, polisher.critics, 5, polisher._memory)
    advantage = {name: polisher._advantage(name, batch) for name in batch.observation}
    return _Driven(batch, advantage, polisher._advice(batch), {}, batch.ended)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_loss_is_the_sum_over_types(share):
    _, polisher = build(POLISH)
    whole, chosen = driven(polisher), torch.arange(100)
    alone = [
        whole._replace(batch=whole.batch._replace(observation={name: seen}))
        for name, seen in whole.batch.observation.items()
    ]
    together = polisher._loss(whole, chosen, share)
    assert len(alone) == 2
    for index in range(2):
        apart = sum(polisher._loss(each, chosen, share)[index] for each in alone)
        torch.testing.assert_close(together[index], apart)


def test_a_types_gradient_is_not_shrunk_by_anothers():
    def gradient(factor):
        _, polisher = build(POLISH)
        whole = driven(polisher)
        whole.advantage["chooser"].mul_(factor)
        polisher._learn(whole, torch.arange(100), 1.0)
        return [parameter.grad for parameter in polisher.students.actor("wheeled").parameters()]

    for small, large in zip(gradient(1.0), gradient(1e4), strict=True):
        torch.testing.assert_close(small, large)


def test_distillation_ends_with_it(tmp_path):
    env = Echo(4)
    expert, critics = make_policy("decentralized", env.groups, SMALL), make_critics(env, SMALL, EXPERT)
    config = DistillConfig(
        students=CONFIG.students, envs=4, rounds=1, steps=5, updates=2, final_updates=2, polish=PolishConfig(rounds=3)
    )
    distill(config, expert, critics, Echo, tmp_path, seed=0)
    assert [line.count("advantage_share") for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == [
        0,
        1,
        1,
        1,
    ]


@pytest.mark.parametrize("known", [[], ["wheeled"]])
def test_missing_critics_are_reported_before_any_work(tmp_path, known):
    env = Echo(4)
    expert, critics = make_policy("decentralized", env.groups, SMALL), make_critics(env, SMALL, EXPERT)
    given = nn.ModuleDict({name: critics[name] for name in known})
    with pytest.raises(KdmarlError, match="polish.rounds is 200, but the expert has no critic for '(chooser|wheeled)'"):
        distill(CONFIG, expert, given, None, tmp_path / "students", seed=0)
    assert not (tmp_path / "students").exists()
