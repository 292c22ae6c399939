"""Eight-bit arithmetic in training: rounded forward, straight-through backward, only where it was asked for."""

import json

import pytest
import torch
from msgspec.structs import replace as replace_fields
from safetensors import safe_open
from torch import nn

from kdmarl_core.distill.distill import CHECKPOINT, DistillConfig, distill, load_students, make_students
from kdmarl_core.distill.polish import PolishConfig
from kdmarl_core.distill.quantization import Int8Linear, calibrate, in_float, layers, quantize
from kdmarl_core.envs.base import EXPERT
from kdmarl_core.expert.networks import NetworkConfig
from kdmarl_core.expert.policies import make_policy, observe
from toy import Echo

SMALL = NetworkConfig(hidden=(32,))
SHORT = DistillConfig(
    students={"wheeled": SMALL, "chooser": NetworkConfig(hidden=(8,))},
    envs=16, rounds=3, steps=10, updates=60, final_updates=800, batch=128, polish=PolishConfig(rounds=0),
)  # fmt: skip


def decided_expert(env):
    """An expert whose commands depend on what it sees."""
    torch.manual_seed(5)
    expert = make_policy("decentralized", env.groups, SMALL)
    with torch.no_grad():
        for name in expert.actors:
            expert.actor(name).net[-1].weight.mul_(100)
    return expert


def layer(low=-2.0, high=6.0):
    torch.manual_seed(0)
    made = Int8Linear(nn.Linear(5, 3))
    made.low.fill_(low)
    made.high.fill_(high)
    return made.eval()


def test_inputs_and_weights_have_256_steps_and_zero_is_exact():
    made = layer()
    with torch.no_grad():
        made.weight.copy_(torch.eye(3, 5))
        made.bias.zero_()
    values = torch.zeros(2000, 5)
    values[:, 0] = torch.linspace(-3, 7, 2000)
    given = made(values)[:, 0].detach()
    assert len(given.unique()) == 256
    step = made.scales().input_step
    within = (values[:, 0] > -2) & (values[:, 0] < 6)
    assert (given - values[:, 0]).abs()[within].max() <= step / 2 + 1e-5
    assert given.min() == pytest.approx(-2, abs=step)
    assert given.max() == pytest.approx(6, abs=step)
    assert made(torch.zeros(1, 5)).abs().max() == 0


def test_weights_have_steps_of_their_own_for_each_output():
    made = layer()
    with torch.no_grad():
        made.weight.mul_(torch.tensor([[1.0], [10.0], [100.0]]))
    rounded = made(torch.eye(5)) - made(torch.zeros(1, 5))
    missed = (rounded - made.weight.T * _one(made)).abs().amax(0)
    assert (missed <= torch.from_numpy(made.scales().weight_steps) * 0.51).all()
    assert missed[0] < missed[2] / 10


def _one(made):
    """What the number 1 becomes as an input."""
    return round(1 / made.scales().input_step) * made.scales().input_step


def test_gradients_go_straight_through_where_nothing_is_clipped():
    made = layer()
    x = torch.tensor([[0.3, 1.0, -1.0, 9.0, -9.0]], requires_grad=True)
    made(x).sum().backward()
    whole = made.weight.detach().sum(0)
    assert x.grad[0, :3].numpy() == pytest.approx(whole[:3].numpy(), abs=0.02)
    assert x.grad[0, 3:].abs().max() == 0
    assert made.weight.grad.abs().min() > 0


def test_ranges_are_learnt_in_training_only():
    made = Int8Linear(nn.Linear(5, 3))
    made(torch.full((4, 5), 2.0))
    assert (made.low, made.high) == (2.0, 2.0)
    made(torch.full((4, 5), -4.0))
    assert made.low == -1.0  # the mean of two batches
    made.eval()(torch.full((4, 5), 100.0))
    assert made.high < 2.0
    assert made.scales().input_zero > 0


def test_the_final_updates_alone_are_quantised(tmp_path):
    env, students = Echo(64), {}
    for mode in ("none", "int8"):
        config = replace_fields(SHORT, quantization=mode)
        students[mode] = distill(config, decided_expert(env), nn.ModuleDict(), Echo, tmp_path / mode, seed=0)
    logged = [
        [json.loads(line) for line in (tmp_path / mode / "metrics.jsonl").read_text().splitlines()] for mode in students
    ]
    logged = [[{key: row[key] for key in row if "seconds" not in key} for row in rows] for rows in logged]
    assert logged[0] == logged[1]
    assert not any(layers(students["none"].actor(name)) for name in ("wheeled", "chooser"))
    assert len(layers(students["int8"].actor("wheeled"))) == 2
    again = load_students(replace_fields(SHORT, quantization="int8"), env, tmp_path / "int8")
    seen = observe(env, EXPERT)["wheeled"]
    command = again.actor("wheeled").greedy(seen)
    torch.testing.assert_close(students["int8"].eval().actor("wheeled").greedy(seen), command)
    assert (command - decided_expert(env).actor("wheeled").greedy(seen)).abs().mean() < 0.1
    assert (in_float(again.actor("wheeled")).greedy(seen) - command).abs().max() > 0


def test_students_without_it_are_those_of_before_it_existed(tmp_path):
    config = replace_fields(SHORT, rounds=1, updates=1, final_updates=1)
    distill(config, decided_expert(Echo(4)), nn.ModuleDict(), Echo, tmp_path, seed=0)
    with safe_open(tmp_path / CHECKPOINT, "pt") as file:
        assert "quantization" not in file.metadata()["facts"]
        assert not [key for key in file.keys() if key.endswith(("low", "batches")) and "net" in key]  # noqa: SIM118


def test_trained_students_are_calibrated_without_changing_their_weights():
    torch.manual_seed(0)
    students = make_students(SHORT, Echo(1).groups)
    before = {name: value.clone() for name, value in students.state_dict().items()}
    seen = {"wheeled": torch.randn(3000, 2), "chooser": torch.randn(3000, 3)}
    calibrate(students, seen)
    calibrated = students.state_dict()
    assert all((calibrated[name] == value).all() for name, value in before.items())
    first = layers(students.actor("wheeled"))[0]
    assert -4 < first.low < -2
    assert 2 < first.high < 4
    quantize(students)
    assert layers(students.actor("wheeled"))[0] is first
