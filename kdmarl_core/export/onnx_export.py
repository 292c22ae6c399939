"""Write a student as a policy file: graph with normalisation and scaling inside, and its manifest."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from pathlib import Path

import msgspec
import numpy as np
import onnx
import torch
from torch import Tensor, nn

from kdmarl_core.contract import Discrete, Manifest
from kdmarl_core.contract.checksums import note_sum
from kdmarl_core.contract.manifest import METADATA_KEY, RecurrentState
from kdmarl_core.contract.writing import replacing
from kdmarl_core.expert.distributions import Categorical
from kdmarl_core.expert.networks import Actor

OPSET = 18
STATE = "memory"
"""Graph input that holds the recurrent state."""
TIE = 1e-4
"""Two logits so close may change places by rounding."""


class _Deployed(nn.Module):
    """What the file computes: one observation (1, O) to the greedy command; with memory, also state to next state."""

    def __init__(self, actor: Actor) -> None:
        super().__init__()
        self.actor = actor

    def forward(self, observation: Tensor, state: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        if state is None:
            return self._shaped(self.actor.greedy(observation))
        command, following = self.actor.greedy_step(observation, state)
        return self._shaped(command), following

    def _shaped(self, command: Tensor) -> Tensor:
        return command if self.actor.head.continuous else command.reshape(1)


def write_policy(actor: Actor, manifest: Manifest, path: Path) -> None:
    """Export ``actor`` with ``manifest`` to ``path``, atomically; recurrent states are filled in.

    Raises:
        KdmarlError: the file cannot be written.
    """
    actor.eval()
    states = [RecurrentState(name=STATE, shape=[1, actor.memory])] if actor.memory else []
    manifest = msgspec.structs.replace(manifest, recurrent=states)
    example = [torch.zeros(1, manifest.observation_size), *(torch.zeros(state.shape) for state in states)]
    output = "action" if isinstance(manifest.action, Discrete) else "command"
    with _quiet():
        program = torch.onnx.export(
            _Deployed(actor),
            tuple(example),
            input_names=["observation", *(state.name for state in states)],
            output_names=[output, *(f"{state.name}_next" for state in states)],
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    model: onnx.ModelProto = program.model_proto  # type: ignore[union-attr]
    model.graph.name = manifest.name
    strip(model)
    set_manifest(model, manifest)
    onnx.checker.check_model(model, full_check=True)
    save_model(model, path)


def set_manifest(model: onnx.ModelProto, manifest: Manifest) -> None:
    """Put the manifest into the model's metadata in place of whatever stood there."""
    del model.metadata_props[:]
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, manifest.to_json().decode()


def record_results(path: Path, manifest: Manifest) -> None:
    """Replace the manifest of the policy file at ``path``, leaving its graph as it is."""
    model = onnx.load(str(path), load_external_data=False)
    set_manifest(model, manifest)
    save_model(model, path)


def save_model(model: onnx.ModelProto, path: Path) -> None:
    """Write a model; a reader sees the old file or the new one, never a part. A list of checksums beside it is kept.

    Raises:
        KdmarlError: the file cannot be written.
    """
    with replacing(path) as scratch:
        scratch.write_bytes(model.SerializeToString(deterministic=True))
    note_sum(path)


def macs(path: Path) -> int:
    """Multiply-accumulates of one inference of a policy file (its matrix products with constant weights)."""
    graph = onnx.load(str(path), load_external_data=False).graph
    weights = {tensor.name: int(np.prod(tensor.dims)) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "DequantizeLinear":  # an int8 weight becomes one here
            weights[node.output[0]] = weights.get(node.input[0], 0)
    products = (node for node in graph.node if node.op_type in ("Gemm", "MatMul"))
    return sum(weights.get(node.input[1], 0) for node in products)


def weight_bytes(path: Path) -> int:
    """Size of all weights in a policy file [bytes]."""
    model = onnx.load(str(path), load_external_data=False)
    return sum(onnx.numpy_helper.to_array(tensor).nbytes for tensor in model.graph.initializer)


def parameters(path: Path) -> int:
    """Number of a policy file's constants; how int8 ones are scaled is not counted."""
    graph = onnx.load(str(path), load_external_data=False).graph
    quantising = (node for node in graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear"))
    scaling = {name for node in quantising for name in node.input[1:]}
    return sum(int(np.prod(tensor.dims)) for tensor in graph.initializer if tensor.name not in scaling)


def differences(
    actor: Actor, observations: np.ndarray, commands: np.ndarray, state: Tensor | None = None
) -> np.ndarray:
    """Absolute differences between the file's commands and the network's, (M, A); 1 for another choice of actions.

    Of actions whose logits lie within ``TIE`` of the highest, each is the network's choice.

    Args:
        actor: the network that was exported.
        observations: (M, O).
        commands: (M, A) what the policy file gave for them.
        state: (M, H) what the network remembers, if it has memory.
    """
    seen = torch.from_numpy(observations)
    with torch.no_grad():
        decided = actor.decide(actor.features(seen, state), seen)
    if isinstance(decided, Categorical):
        chosen = decided.logits.gather(-1, torch.from_numpy(commands).long())
        return (decided.logits.amax(-1, keepdim=True) - chosen > TIE).float().numpy()
    return np.abs(actor.head.command(decided.mode()).numpy() - commands)


def strip(model: onnx.ModelProto) -> None:
    """Drop the exporter's traces: documentation strings and per-node metadata, which hold paths of this machine."""
    model.producer_name, model.producer_version, model.doc_string = "kdmarl", "", ""
    del model.functions[:]
    for item in (model.graph, *model.graph.node, *model.graph.initializer, *model.graph.input, *model.graph.output):
        item.doc_string = ""
        if item.DESCRIPTOR.fields_by_name.get("metadata_props"):
            del item.metadata_props[:]
    del model.graph.value_info[:]


@contextlib.contextmanager
def _quiet():  # type: ignore[no-untyped-def]
    """The exporter reports its steps at length; only its errors matter."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
