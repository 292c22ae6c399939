"""Terms of the distillation loss, each a separate function with its own weight; weight 0 removes it.

The formulas of KD-MARL (arXiv 2604.06691) are not fully public; these are a reconstruction.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
import torch
from torch import Tensor
from torch.nn import functional

from kdmarl_core.contract.bounds import NonNegative, Positive
from kdmarl_core.expert.distributions import Categorical, Distribution


class LossWeights(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Weight of each term; a term with weight 0 is not computed."""

    kl: NonNegative = 0.1
    action: NonNegative = 0.0
    temperature: Positive = 1.0
    """softens both distributions in the KL term"""
    relation: NonNegative = 0.0
    """distances and angles between agents, and between time steps of one type, as in the expert's features"""
    role: NonNegative = 0.0
    """prediction of the expert's role"""
    roles: Annotated[int, msgspec.Meta(ge=2, le=64)] = 8
    """number of role prototypes per type"""
    imitability: NonNegative = 0.0
    """how sharply kl and action are down-weighted where the student's sensors do not suffice to follow the expert"""

    @property
    def of_features(self) -> list[str]:
        """The terms with a weight that use the expert's features."""
        return [name for name in ("relation", "role") if getattr(self, name)]

    def __post_init__(self) -> None:
        if not (self.kl or self.action):
            raise ValueError("kl and action are both 0, so nothing would be learned; give one a weight")


def kl_loss(expert: Distribution, student: Distribution, temperature: float, trust: Tensor | float = 1.0) -> Tensor:
    """KL(expert ‖ student) of the distributions softened by tau, averaged with weights ``trust`` (...).

    For categoricals multiplied by tau², which keeps the gradient's size independent of tau (Hinton et al., arXiv
    1503.02531, section 2). For Gaussians tau widens both, which gives standard deviations more weight against means.
    """
    scale = temperature**2 if isinstance(expert, Categorical) else 1.0
    divergence: Tensor = expert.kl_to(student, temperature)  # type: ignore[arg-type]
    return scale * (trust * divergence).mean()


def action_loss(expert: Distribution, student: Distribution, trust: Tensor | float = 1.0) -> Tensor:
    """Distance to the expert's greedy action, averaged with weights ``trust`` (...).

    Cross-entropy, or Huber on the squashed command.

    Squashed commands lie in [−1, 1], where differences deep in saturation have almost no weight, as they should.
    """
    if isinstance(student, Categorical):
        return -(trust * student.log_prob(expert.mode())).mean()
    missed = functional.huber_loss(torch.tanh(student.mode()), torch.tanh(expert.mode()), delta=0.2, reduction="none")
    return 10 * (trust * missed.mean(-1)).mean()


def imitation_loss(
    expert: Distribution, student: Distribution, weights: LossWeights, trust: Tensor | float = 1.0
) -> dict[str, Tensor]:
    """The weighted terms that compare action distributions, by name."""
    terms = {}
    if weights.kl:
        terms["kl"] = weights.kl * kl_loss(expert, student, weights.temperature, trust)
    if weights.action:
        terms["action"] = weights.action * action_loss(expert, student, trust)
    return terms
