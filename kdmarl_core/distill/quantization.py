"""Eight-bit arithmetic of students, imitated in torch while they are trained, as their policy files compute it.

Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference" (arXiv
1712.05877): values are rounded in the forward pass and gradients go straight through (section 3); ranges of
activations are moving averages of what batches show (section 3.1). Here each linear layer has its inputs and weights
in eight bits; normalisation, sums, activations and the scaling of commands stay as they are.
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
"""Weights are −127 to 127 steps, the same to either side; inputs are 0 to 255 steps above their lowest value."""
SMOOTHING = 0.01
"""Share of a new batch in a range, once it has seen as many as make this the mean of all."""
SMALLEST = 1e-4
"""Of ranges: the bias is counted in steps of input times steps of weight, and must stay countable in 32 bits."""
BATCH = 512
"""Observations that make one batch of a calibration."""


class Scales(NamedTuple):
    """How a layer's numbers are written in eight bits."""

    input_step: float
    input_zero: int
    """step that stands for 0"""
    weight_steps: np.ndarray
    """(outputs,) float32"""


class Int8Linear(nn.Linear):
    """A linear layer with inputs and weights rounded to eight bits; it learns the range of its inputs in training.

    Takes over the parameters of ``linear``, so that an optimiser goes on with them.
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
        # Sums are counted in steps of input times steps of weight, and so is the bias.
        steps = step * torch.from_numpy(weight_steps)
        rounded = (self.bias.detach() / steps).round() * steps
        return nn.functional.linear(x, weight, self.bias + (rounded - self.bias.detach()))

    def scales(self) -> Scales:
        """How the layer is written now; 0 is always exact."""
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
    """Let every linear layer of every student compute in eight bits from now on; what does already is left alone."""
    for name in students.actors:
        actor = students.actor(name)
        actor.net = nn.Sequential(*(_quantized(layer) for layer in actor.net))


@torch.no_grad()
def calibrate(students: DecentralizedPolicy, observations: dict[str, Tensor]) -> None:
    """Quantise trained students; ranges are those of ``observations``, group → (M, O), and weights stay."""
    quantize(students)
    students.train()
    for name, seen in observations.items():
        # Moments that lie apart in time, so that every batch shows the whole range.
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
