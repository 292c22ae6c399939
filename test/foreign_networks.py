"""ONNX networks as exported by other projects."""

from __future__ import annotations

import numpy as np
import torch
import yaml
from onnx import TensorProto, helper, numpy_helper
from torch import nn

TERMS = [
    {"term": "lidar", "sectors": 36, "range": 3.5},
    {"term": "goal", "range": 5.0},
    {"term": "velocity"},
    {"term": "previous_action"},
]
"""Observation terms of networks with ``SIZE`` inputs."""

SIZE = 43

LISTED = [[0.2, 0.0], [0.1, 1.0], [0.1, -1.0]]
"""Commands of discrete actions [m/s, rad/s]."""


class ActorCritic(nn.Module):
    """A policy exported as in Stable-Baselines3's documentation: actions, values and log-likelihoods."""

    def __init__(self, size=43):
        super().__init__()
        self.actor = nn.Sequential(nn.Linear(size, 64), nn.Tanh(), nn.Linear(64, 2))
        self.critic = nn.Sequential(nn.Linear(size, 64), nn.Tanh(), nn.Linear(64, 1))

    def forward(self, observation):
        actions = self.actor(observation)
        return actions, self.critic(observation), -(actions**2).sum(-1)


class Memory(nn.Module):
    """A recurrent actor as exported by rsl_rl; ``cell`` is torch's LSTM or GRU."""

    def __init__(self, size=45, actions=12, cell=nn.LSTM):
        super().__init__()
        self.cell = cell(size, 32)
        self.actor = nn.Sequential(nn.Linear(32, 32), nn.ELU(), nn.Linear(32, actions))

    def forward(self, obs, *states):
        lstm = isinstance(self.cell, nn.LSTM)
        out, following = self.cell(obs[None], states if lstm else states[0])
        return self.actor(out[0]), *(following if lstm else (following,))


def export(module, inputs, path, dynamo, **options):
    """Export by torch's new exporter (``dynamo``) or the old one."""
    options = {"external_data": False} | options
    torch.onnx.export(module.eval(), inputs, str(path), dynamo=dynamo, verbose=False, **options)


def free_batch(name, dynamo):
    """Options of :func:`export` for an input of any number of rows."""
    if dynamo:
        return {"dynamic_shapes": ({0: torch.export.Dim("batch")},)}
    return {"dynamic_axes": {name: {0: "batch"}}}


def describe(folder, without=(), **changes):
    """Write a description of a network of 43 inputs and return its path."""
    said = {"robot_type": "scout", "observation": TERMS, "control_period": 0.1, "output": "normalized", "clip": True}
    path = folder / "manifest.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in (said | changes).items() if key not in without}))
    return path


def linear(path, weights, dtype=TensorProto.FLOAT, shape=(1, SIZE), nodes=(), opset=17, ir=8, **graph):
    """Write a network with one product, ``obs`` times ``weights``, then ``nodes`` from ``raw`` to ``actions``."""
    array = np.asarray(weights, helper.tensor_dtype_to_np_dtype(dtype))
    nodes = list(nodes) or [helper.make_node("Identity", ["raw"], ["actions"])]
    inputs = graph.pop("inputs", None) or [helper.make_tensor_value_info("obs", dtype, shape)]
    outputs = graph.pop("outputs", None) or [helper.make_tensor_value_info("actions", dtype, None)]
    made = helper.make_graph(
        [helper.make_node("MatMul", ["obs", "weights"], ["raw"]), *nodes],
        "foreign",
        inputs,
        outputs,
        [numpy_helper.from_array(array, "weights"), *graph.pop("constants", ())],
    )
    imports = [helper.make_opsetid("", opset), *graph.pop("imports", ())]
    model = helper.make_model(made, opset_imports=imports, ir_version=ir, producer_name="hand", **graph)
    path.write_bytes(model.SerializeToString())
    return path


def weights(actions=2):
    """Small weights, (43, ``actions``)."""
    return np.random.default_rng(0).normal(size=(SIZE, actions)) / 20


def two_outputs(path):
    """Write a network with outputs ``mean`` and ``std``."""
    nodes = [helper.make_node("Tanh", ["raw"], ["mean"]), helper.make_node("Exp", ["raw"], ["std"])]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2]) for name in ("mean", "std")]
    return linear(path, weights(), nodes=nodes, outputs=outputs)
