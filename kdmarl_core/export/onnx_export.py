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
from kdmarl_core.contract.manifest import RecurrentState
from kdmarl_core.expert.distributions import Categorical
from kdmarl_core.expert.networks import Actor
from kdmarl_core.export.onnx_model import (
    macs,
    parameters,
    record_results,
    save_model,
    set_manifest,
    strip,
    weight_bytes,
)

__all__ = ["differences", "macs", "parameters", "record_results", "weight_bytes", "write_policy"]

OPSET = 18
STATE = "memory"
"""Graph input that holds the recurrent state."""
TIE = 1e-4
"""Two logits this close may swap places by rounding."""


class _Deployed(nn.Module):
    """The graph of a policy file: observation (1, O) to greedy command; with memory, also state to next state."""

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
    """Export ``actor`` with ``manifest`` to ``path``, atomically; the manifest's recurrent states are filled in.

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


def differences(
    actor: Actor, observations: np.ndarray, commands: np.ndarray, state: Tensor | None = None
) -> np.ndarray:
    """Absolute differences between the file's commands and the network's, (M, A); 1 for another discrete action.

    All actions whose logits lie within ``TIE`` of the highest count as the network's choice.

    Args:
        actor: the network that was exported.
        observations: (M, O).
        commands: (M, A) of the policy file.
        state: (M, H) recurrent state of the network, if it has memory.
    """
    seen = torch.from_numpy(observations)
    with torch.no_grad():
        decided = actor.decide(actor.features(seen, state), seen)
    if isinstance(decided, Categorical):
        chosen = decided.logits.gather(-1, torch.from_numpy(commands).long())
        return (decided.logits.amax(-1, keepdim=True) - chosen > TIE).float().numpy()
    return np.abs(actor.head.command(decided.mode()).numpy() - commands)


@contextlib.contextmanager
def _quiet():  # type: ignore[no-untyped-def]
    """Silence the exporter's progress messages; its errors are still raised."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
