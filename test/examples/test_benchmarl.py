"""examples/benchmarl: what its script writes is an expert, from the experiment file alone.

Where BenchMARL is installed, the script trains, too.
"""

import importlib

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from example_experts import chain, copy_of, decided, settings
from kdmarl_core.experiment import Experiment

CONTINUOUS = {"task.arguments": {"N": 3, "max_cycles": 25, "continuous_actions": True}}
OBSERVATIONS, HIDDEN = 18, 16


@pytest.fixture
def spread(tmp_path, monkeypatch):
    """A copy of the experiment file, and the example's modules within reach."""
    path = copy_of("benchmarl", tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return path


def network(outputs):
    """Layers as the script's policies have them."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(OBSERVATIONS, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, outputs))


def test_logits_are_an_expert_of_numbered_actions(spread):
    policy = network(5)
    importlib.import_module("to_onnx").write(policy, OBSERVATIONS, "logits", spread.parent / "agent.onnx")
    graph = onnx.load(spread.parent / "agent.onnx").graph
    assert [value.name for value in (*graph.input, *graph.output)] == ["observation", "logits"]
    seen, actions = decided(spread)
    assert len(np.unique(actions)) > 1
    np.testing.assert_array_equal(actions[:, 0], policy(torch.from_numpy(seen)).argmax(-1))
    expert, _, student = chain(spread)
    assert expert["macs"] == OBSERVATIONS * HIDDEN + HIDDEN * 5
    assert student.manifest.provenance.expert == "from agent.onnx"
    assert student.manifest.results.episodes == 4


def test_means_become_commands_within_the_limits(spread):
    to_onnx, inner = importlib.import_module("to_onnx"), network(10)
    with torch.no_grad():
        inner[-1].bias[5:] = 3.0  # spreads, which must not matter
    low, high = torch.tensor([0.0, 0.0, 0.2, 0.0, 0.0]), torch.tensor([1.0, 0.5, 1.0, 1.0, 1.0])
    policy = to_onnx.Commands(inner, low, high)
    to_onnx.write(policy, OBSERVATIONS, "command", spread.parent / "agent.onnx")
    seen, commands = decided(spread, CONTINUOUS)
    mean = inner(torch.from_numpy(seen))[:, :5].detach().numpy()
    expected = low.numpy() + (np.tanh(mean) + 1) / 2 * (high - low).numpy()
    assert expected.std(0).min() > 0.01
    np.testing.assert_allclose(commands, expected, atol=0.003)
    chain(spread, CONTINUOUS)


@pytest.mark.parametrize("changes", [{}, CONTINUOUS], ids=["numbered", "continuous"])
def test_benchmarl_trains_what_is_distilled(spread, changes):
    """The file acts as BenchMARL's greedy policy does, and its students are measured."""
    pytest.importorskip("benchmarl", reason="BenchMARL is not installed")
    from tensordict import TensorDict
    from torchrl.envs.utils import ExplorationType, set_exploration_type

    script = importlib.import_module("train")
    task = Experiment.load(spread, settings(changes)).data["task"]
    trained = script.train(task, frames=4000, seed=1)
    (path,) = script.write_policies(trained, spread.parent)
    assert path == spread.parent / "agent.onnx"
    seen, commands = decided(spread, changes)
    teams = torch.from_numpy(seen).reshape(-1, 3, OBSERVATIONS)
    rows = TensorDict({"agent": TensorDict({"observation": teams}, teams.shape[:2])}, teams.shape[:1])
    with torch.no_grad(), set_exploration_type(ExplorationType.DETERMINISTIC):
        expected = trained.policy(rows)["agent", "action"].reshape(len(seen), -1).numpy()
    assert len(np.unique(expected)) > 1
    np.testing.assert_allclose(commands, expected, atol=0.003)
    assert np.isfinite(script.greedy_return(trained, 2))
    chain(spread, changes)
