"""Terms of the distillation loss, each a function of its own with its own weight; weight 0 removes it.

The formulas of KD-MARL (arXiv 2604.06691) are not public in full; these are a reconstruction.
"""

from __future__ import annotations

import msgspec
import torch
from torch import Tensor
from torch.nn import functional

from kdmarl_core.contract.spaces import NonNegative, Positive
from kdmarl_core.expert.distributions import Categorical, Distribution


class LossWeights(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Weight of each term; a term with weight 0 is not computed."""

    kl: NonNegative = 0.1
    action: NonNegative = 1.0
    temperature: Positive = 1.0
    """softens both distributions in the KL term"""

    def __post_init__(self) -> None:
        if not (self.kl or self.action):
            raise ValueError("kl and action are both 0, so that nothing would be learned; give one a weight")


def kl_loss(expert: Distribution, student: Distribution, temperature: float) -> Tensor:
    """KL(expert ‖ student) of the distributions softened by tau, averaged.

    For categoricals times tau², which keeps the gradient's size independent of tau (Hinton et al., arXiv
    1503.02531, section 2). For Gaussians tau widens both, which weighs spreads against means.
    """
    scale = temperature**2 if isinstance(expert, Categorical) else 1.0
    return scale * expert.kl_to(student, temperature).mean()  # type: ignore[arg-type]


def action_loss(expert: Distribution, student: Distribution) -> Tensor:
    """Distance to the expert's greedy action, averaged: cross-entropy, or Huber on the squashed command.

    Squashed commands lie in [−1, 1]; there, differences deep in saturation rightly count for nothing.
    """
    if isinstance(student, Categorical):
        return functional.cross_entropy(student.logits.flatten(0, -2), expert.mode().flatten())
    return 10 * functional.huber_loss(torch.tanh(student.mode()), torch.tanh(expert.mode()), delta=0.2)


def distillation_loss(expert: Distribution, student: Distribution, weights: LossWeights) -> dict[str, Tensor]:
    """The weighted terms by name; their sum is the loss."""
    terms = {}
    if weights.kl:
        terms["kl"] = weights.kl * kl_loss(expert, student, weights.temperature)
    if weights.action:
        terms["action"] = weights.action * action_loss(expert, student)
    return terms
