"""Quantisation-aware training: the 8-bit arithmetic of students' policy files, simulated in torch.

Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference" (arXiv
1712.05877): values are rounded in the forward pass with straight-through gradients (section 3); ranges of activations
are moving averages over batches (section 3.1). Here the inputs and weights of each linear layer have 8 bits;
normalisation, sums, activations and the scaling of commands are not quantised.
"""

from __future__ import annotations

import copy
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from kdmarl_core.expert.networks import Actor
from kdmarl_core.expert.policies import DecentralizedPolicy

WEIGHT_STEPS, INPUT_STEPS = 127, 255
"""Weights are −127 to 127 steps, symmetric; inputs are 0 to 255 steps above their lowest value."""
SMOOTHING = 0.01
"""Weight of a new batch in the moving average of a range; the first batches are averaged equally."""
SMALLEST = 1e-4
"""Smallest range: the bias is in units of input step times weight step, and must fit into 32 bits."""
BATCH = 512
"""Observations in one batch of a calibration."""


class Scales(NamedTuple):
    """How a layer's numbers are represented in 8 bits."""

    input_step: float
    input_zero: int
    """zero point: the step that represents 0"""
    weight_steps: np.ndarray
    """(outputs,) float32"""


class Int8Linear(nn.Linear):
    """A linear layer with inputs and weights rounded to 8 bits; in training it tracks the range of its inputs.

    Shares the parameters of ``linear``, so that an optimiser of them stays valid.
    """

    low: Tensor
    high: Tensor
    batches: Tensor

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear.in_features, linear.out_features, device="meta")
        self.weight, self.bias = linear.weight, linear.bias
        self.register_buffer("low", torch.zeros(()))
        self.register_buffer("high", torch.zeros(()))
        self.register_buffer("batches", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) → (..., outputs)."""
        if self.training:
            self._observe(x)
        step, zero, weight_steps = self.scales()
        x = torch.fake_quantize_per_tensor_affine(x, step, zero, 0, INPUT_STEPS)
        nothing = torch.zeros(self.out_features, dtype=torch.int32)
        weight = torch.fake_quantize_per_channel_affine(
            self.weight, torch.from_numpy(weight_steps), nothing, 0, -WEIGHT_STEPS, WEIGHT_STEPS
        )
        # Sums, and so the bias, are in units of input step times weight step.
        steps = step * torch.from_numpy(weight_steps)
        rounded = (self.bias.detach() / steps).round() * steps
        return nn.functional.linear(x, weight, self.bias + (rounded - self.bias.detach()))

    def scales(self) -> Scales:
        """The current scales; 0 is always exact."""
        low, high = min(self.low.item(), 0.0), max(self.high.item(), 0.0)
        step = float(np.float32(max(high - low, SMALLEST) / INPUT_STEPS))
        spans = self.weight.detach().abs().amax(1).clamp(min=SMALLEST)
        return Scales(step, min(max(round(-low / step), 0), INPUT_STEPS), (spans / WEIGHT_STEPS).numpy())

    @torch.no_grad()
    def _observe(self, x: Tensor) -> None:
        self.batches += 1
        share = max(1 / self.batches.item(), SMOOTHING)
        self.low.lerp_(x.amin(), share)
        self.high.lerp_(x.amax(), share)


def quantize(students: DecentralizedPolicy) -> None:
    """Replace every linear layer of every student by an 8-bit one; layers that are quantised already are kept."""
    for name in students.actors:
        actor = students.actor(name)
        actor.net = nn.Sequential(*(_quantized(layer) for layer in actor.net))


@torch.no_grad()
def calibrate(students: DecentralizedPolicy, observations: dict[str, Tensor]) -> None:
    """Quantise trained students with ranges from ``observations``, group → (M, O); weights are not changed."""
    quantize(students)
    students.train()
    for name, seen in observations.items():
        # Shuffled in time, so that every batch covers the whole range.
        order = torch.randperm(len(seen), generator=torch.Generator().manual_seed(0))
        for batch in torch.split(seen[order], BATCH):
            students.actor(name)(batch)
    students.eval()


def layers(actor: Actor) -> list[Int8Linear]:
    """The quantised layers from input to output; none for a student in float32."""
    return [layer for layer in actor.net if isinstance(layer, Int8Linear)]


def in_float(actor: Actor) -> Actor:
    """A copy with the same parameters that computes in float32."""
    actor = copy.deepcopy(actor)
    actor.net = nn.Sequential(*(_restored(layer) for layer in actor.net))
    return actor


def _quantized(layer: nn.Module) -> nn.Module:
    return Int8Linear(layer) if type(layer) is nn.Linear else layer


def _restored(layer: nn.Module) -> nn.Module:
    if not isinstance(layer, Int8Linear):
        return layer
    linear = nn.Linear(layer.in_features, layer.out_features, device="meta")
    linear.weight, linear.bias = layer.weight, layer.bias
    return linear
