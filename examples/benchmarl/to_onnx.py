"""Networks of BenchMARL's policies as ONNX files that kdmarl takes as experts; needs torch, onnx and onnxscript."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn


class Commands(nn.Module):
    """The greedy commands of a network that gives the means and spreads of commands before they are squashed.

    Squashed as by ``torchrl.modules.TanhNormal``, which BenchMARL's PPO takes for continuous actions.

    Args:
        network: observations (batch, O) → means and spreads, (batch, 2 A).
        low: least commands, (A,).
        high: greatest commands, (A,).
    """

    def __init__(self, network: nn.Module, low: Tensor, high: Tensor) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("middle", (high + low) / 2)
        self.register_buffer("reach", (high - low) / 2)

    def forward(self, observation: Tensor) -> Tensor:
        """(batch, O) → commands (batch, A)."""
        mean, _ = self.network(observation).chunk(2, -1)
        return self.middle + self.reach * torch.tanh(mean)


def write(network: nn.Module, observations: int, output: str, path: Path) -> None:
    """Write a network as one ONNX file: ``observation``, float32 [batch, O], to ``output``, float32 [batch, A].

    Args:
        network: gives a logit of each action, or commands (:class:`Commands`).
        observations: O.
        output: name of what it gives.
        path: of the file.
    """
    torch.onnx.export(
        network.eval(),
        (torch.zeros(2, observations),),
        path,
        input_names=["observation"],
        output_names=[output],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        dynamo=True,
        external_data=False,
        verbose=False,
    )
