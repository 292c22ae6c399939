"""Student-state aggregation and the whole second stage on a task whose expert is known."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from msgspec.structs import replace as replace_fields
from torch import nn

from kdmarl_core.contract import KdmarlError
from kdmarl_core.contract.terms import PreviousAction
from kdmarl_core.distill import distill as module
from kdmarl_core.distill.aggregation import Aggregate, Labelled, gather
from kdmarl_core.distill.distill import DistillConfig, distill, load_students, make_students
from kdmarl_core.distill.losses import LossWeights
from kdmarl_core.distill.polish import PolishConfig
from kdmarl_core.envs.base import EXPERT, STUDENT
from kdmarl_core.expert.distributions import SquashedGaussian
from kdmarl_core.expert.networks import NetworkConfig, make_critics
from kdmarl_core.expert.policies import make_policy, observe
from toy import DRIVE, Doors, Echo, perfect_expert

SMALL = NetworkConfig(hidden=(32,))
CONFIG = DistillConfig(
    students={"wheeled": SMALL, "chooser": NetworkConfig(hidden=(8,))},
    envs=16, rounds=4, steps=10, updates=200, final_updates=1500, batch=128, polish=PolishConfig(rounds=0),
)  # fmt: skip


def part(rows, value):
    nothing = torch.zeros(rows, 1, 2)
    return Labelled(
        torch.full((rows, 1, 2), float(value)),
        SquashedGaussian(nothing, nothing),
        nothing[..., :0],
        nothing[:, 0, 0] > 0,
        nothing[..., :0],
    )


def test_aggregate_forgets_the_oldest():
    store = Aggregate(capacity=10)
    for value in range(5):
        store.add(part(4, value))
        assert store.all().expert.mean.shape == (min(4 * (value + 1), 10), 1, 2)
    assert store.all().observation[:, 0, 0].tolist() == [2] * 2 + [3] * 4 + [4] * 4
    store.add(part(12, 9))
    assert store.all().observation[:, 0, 0].tolist() == [9] * 10


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_wheel_is_shared_agent_by_agent(share):
    torch.manual_seed(0)
    env = Echo(400)
    expert, students = perfect_expert(env), make_students(CONFIG, env.groups)
    drove = []
    real = env.step

    def watch(actions):
        right = (torch.from_numpy(actions["wheeled"] - env.wanted).abs().sum(-1) < 0.1)[1::2]  # greedy half
        drove.append(right.float().mean().item())
        return real(actions)

    env.step = watch
    labelled = gather(env, expert, students, 3, share)
    assert sum(drove) / 3 == pytest.approx(share, abs=0.07)
    assert labelled["wheeled"].observation.shape == (3 * 400, 2, 2)
    assert labelled["chooser"].expert.logits.shape == (3 * 400, 1, 3)
    squashed = torch.tanh(labelled["wheeled"].expert.mean) * torch.from_numpy(DRIVE.high)
    torch.testing.assert_close(squashed, labelled["wheeled"].observation, rtol=0.05, atol=0.05)


class Sighted(Echo):
    """Shows the expert one thing more than the students."""

    def __init__(self, num_envs):
        super().__init__(num_envs)
        wheeled, *others = self.groups
        self.groups = (replace(wheeled, observation={**wheeled.observation, EXPERT: [PreviousAction(3)]}), *others)

    def observe(self, view):
        seen = super().observe(view)
        if view == EXPERT:
            seen["wheeled"] = np.concatenate([seen["wheeled"], seen["wheeled"][..., :1]], -1)
        return seen


@pytest.mark.parametrize("view", [EXPERT, STUDENT])
def test_an_expert_advises_through_its_own_view(view):
    env = Sighted(4)
    expert = make_policy("decentralized", env.groups, SMALL, view)
    labelled = gather(env, expert, make_students(CONFIG, env.groups), 2, 0.5)
    assert labelled["wheeled"].observation.shape == (2 * 4, 2, 2)


def test_students_learn_the_expert_and_are_loaded_again(tmp_path):
    env = Echo(64)
    students = distill(CONFIG, perfect_expert(env), nn.ModuleDict(), Echo, tmp_path, seed=0)
    observation = observe(env, EXPERT)
    command = students.actor("wheeled").greedy(observation["wheeled"])
    assert (command - observation["wheeled"]).abs().mean() < 0.12  # of spans of 2 and 4
    assert (students.actor("chooser").greedy(observation["chooser"])[..., 0].numpy() == env.index).all()
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == CONFIG.rounds
    again = load_students(CONFIG, env, tmp_path)
    torch.testing.assert_close(again.actor("wheeled").greedy(observation["wheeled"]), command)


def test_students_are_not_taken_for_others(tmp_path):
    short = replace_fields(CONFIG, rounds=2, updates=1, final_updates=1)
    env, origin = Echo(4), {"seed": 0, "expert": {"envs": 8}}
    with pytest.raises(KdmarlError, match="students.safetensors: no such checkpoint; distill first"):
        load_students(short, env, tmp_path, origin)
    distill(short, perfect_expert(env), nn.ModuleDict(), Echo, tmp_path, 0, origin)
    load_students(short, env, tmp_path, origin)
    for config, now, message in (
        (replace_fields(short, rounds=3), origin, r"distill.rounds = 2 \(now 3\); set that back, or distill again"),
        (short, {**origin, "expert": {"envs": 9}}, r"expert.envs = 8 \(now 9\)"),
        (short, {**origin, "task": {"walls": 2}}, r"task.walls = nothing \(now 2\)"),
    ):
        with pytest.raises(KdmarlError, match=message):
            load_students(config, env, tmp_path, now)


@pytest.mark.parametrize(("driver", "shares"), [("shared", [1.0, 0.5, 0.0, 0.0]), ("expert", [1.0] * 4)])
def test_who_is_at_the_wheel(tmp_path, driver, shares):
    config = replace_fields(CONFIG, driver=driver, handover=0.5, updates=1, final_updates=1)
    distill(config, perfect_expert(Echo(4)), nn.ModuleDict(), Echo, tmp_path, 0)
    log = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["expert_share"] for row in log] == shares
    assert config.env_steps == config.envs * 4 * config.steps


def test_students_outlive_a_distillation_that_is_cut_off(tmp_path, monkeypatch):
    short = replace_fields(CONFIG, rounds=2, updates=1, final_updates=1)
    env = Echo(4)
    distill(short, perfect_expert(env), nn.ModuleDict(), Echo, tmp_path, 0)
    before = (tmp_path / module.CHECKPOINT).read_bytes()
    real, calls = module.gather, []

    def killed(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(module, "gather", killed)
    with pytest.raises(KeyboardInterrupt):
        distill(short, perfect_expert(env), nn.ModuleDict(), Echo, tmp_path, 0)
    assert (tmp_path / module.CHECKPOINT).read_bytes() == before
    load_students(short, env, tmp_path)


def test_every_type_needs_a_student():
    with pytest.raises(KdmarlError, match="no network for robot type 'chooser'"):
        make_students(DistillConfig(students={"wheeled": SMALL}), Echo(1).groups)


@pytest.mark.parametrize("kind", ["decentralized", "shared", "centralized"])
def test_students_choose_available_actions_only_whatever_the_loss(tmp_path, kind):
    env = Doors(16)
    expert = make_policy(kind, env.groups, SMALL)
    critics = make_critics(env, SMALL, EXPERT)
    loss = LossWeights(kl=0.1, action=1.0, relation=0.1, role=0.1, imitability=1.0, temperature=2.0)
    config = DistillConfig(
        students=dict.fromkeys(["walker", "runner"], SMALL), loss=loss, polish=PolishConfig(rounds=2, steps=5),
        envs=16, rounds=2, steps=10, updates=10, final_updates=10, batch=64,
    )  # fmt: skip
    students = distill(config, expert, critics, Doors, tmp_path, seed=1)  # a closed door raises, as does a NaN
    for name, distribution in students(observe(env, STUDENT)).items():
        assert torch.from_numpy(env.observe(STUDENT)[name][..., 2:6]).gather(-1, distribution.sample()).all()


@pytest.mark.parametrize(
    ("broken", "where"),
    [
        (3 * CONFIG.steps, r"round 3: the loss wheeled/kl is nan; lower distill\.learning_rate"),
        (4 * CONFIG.steps, r"round 4: the loss is nan; lower distill\.polish\.learning_rate"),
    ],
)
def test_a_loss_that_is_not_finite_is_located(tmp_path, broken, where):
    env = Echo(CONFIG.envs)
    expert, calls = perfect_expert(env), []
    real = expert.forward

    def advise(seen):
        """The expert's advice; from some call on nothing that can be followed."""
        calls.append(1)
        advice = real(seen)
        if len(calls) > broken:
            advice["wheeled"] = SquashedGaussian(*(x * torch.nan for x in advice["wheeled"]))
        return advice

    expert.forward = advise
    config = replace_fields(CONFIG, polish=PolishConfig(rounds=2, steps=5), updates=5, final_updates=5)
    with pytest.raises(KdmarlError, match=where):
        distill(config, expert, make_critics(env, SMALL, EXPERT), lambda envs: env, tmp_path / "run", 0)
    assert not (tmp_path / "run" / module.CHECKPOINT).exists()
