"""The structured terms in a whole distillation."""

import json

import pytest
import torch

from kdmarl_core.distill.aggregation import gather
from kdmarl_core.distill.distill import DistillConfig, distill, make_students
from kdmarl_core.distill.losses import LossWeights
from kdmarl_core.distill.polish import PolishConfig
from kdmarl_core.distill.relations import relation_loss
from kdmarl_core.distill.structure import PROJECTED, SET, Structure
from kdmarl_core.envs.base import EXPERT
from kdmarl_core.expert.networks import NetworkConfig, make_critics
from kdmarl_core.expert.policies import make_policy, observe
from toy import Echo

SMALL = NetworkConfig(hidden=(16,))
CONFIG = DistillConfig(
    students={"wheeled": SMALL, "chooser": NetworkConfig(hidden=(8,))},
    envs=16, rounds=2, steps=10, updates=5, final_updates=5, batch=64, polish=PolishConfig(rounds=0),
)  # fmt: skip


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def build(kind, **weights):
    env = Echo(16)
    expert = make_policy(kind, env.groups, SMALL)
    structure = Structure(expert, make_students(CONFIG, env.groups), LossWeights(**weights), seed=0)
    projections = structure.projections(expert.features(observe(env, expert.view)))
    data = gather(env, expert, structure.students, 5, 0.5, projections)
    structure.find_roles(data)
    return structure, data


@pytest.mark.parametrize(
    ("weights", "names"),
    [
        ({}, {"kl"}),
        ({"kl": 0.0, "action": 1.0}, {"action"}),
        ({"role": 0.5}, {"kl", "role"}),
        ({"relation": 0.5}, {"kl", "relation"}),
        ({"imitability": 1.0, "action": 1.0}, {"kl", "action", "follow"}),
    ],
)
def test_a_term_without_weight_is_not_computed(weights, names):
    structure, data = build("decentralized", **weights)
    terms = structure.loss(data)
    assert {name.split("/")[1] for name in terms} == names
    assert all(torch.isfinite(value) for value in terms.values())
    kept = PROJECTED if {"role", "relation"} & set(weights) else 0
    assert data["wheeled"].projected.shape == (80, 2, kept)


def test_agents_of_several_types_are_related_only_if_one_network_made_their_features():
    for kind, related in (("decentralized", False), ("centralized", True)):
        structure, data = build(kind, relation=1.0)
        assert ("team/relation" in structure.loss(data)) == related


def test_students_come_to_relate_moments_as_the_expert_does():
    structure, data = build("centralized", relation=1.0, kl=0.0, action=1e-6)
    first = sum(structure.loss(data).values()).item()
    optimizer = torch.optim.Adam(structure.parameters(), lr=1e-2)
    for _ in range(150):
        optimizer.zero_grad()
        loss = sum(structure.loss(data).values())
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.7 * first
    assert relation_loss(torch.randn(4, SET, 3), torch.randn(4, SET, 3)) > 0  # a set is related in whole


def test_the_following_head_does_not_shape_the_student():
    structure, data = build("decentralized", imitability=1.0)
    structure.loss(data)["wheeled/follow"].backward()
    assert all(p.grad is None for p in structure.students.parameters())
    assert structure.auxiliaries["wheeled"].follow.weight.grad is not None


def test_a_distillation_with_all_terms_leaves_students_of_the_same_size(tmp_path):
    env = Echo(4)
    expert = make_policy("centralized", env.groups, SMALL)
    config = DistillConfig(
        **{name: getattr(CONFIG, name) for name in CONFIG.__struct_fields__ if name != "loss"},
        loss=LossWeights(action=1.0, relation=0.1, role=0.1, imitability=0.5),
    )
    students = distill(config, expert, make_critics(env, SMALL, EXPERT), Echo, tmp_path, seed=0)
    plain = make_students(CONFIG, env.groups)
    assert {k: v.shape for k, v in students.state_dict().items()} == {k: v.shape for k, v in plain.state_dict().items()}
    row = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1])
    assert {"team/relation", "wheeled/relation", "chooser/role", "wheeled/follow", "wheeled/action"} <= set(row)
