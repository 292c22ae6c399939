"""Role term: at each time step a student should take the expert's role.

Roles are found in the expert's features: K prototypes (k-means) and a soft assignment of each agent to them. A linear
head on the student's features, which is dropped at export, must predict that assignment. KD-MARL (arXiv 2604.06691)
names such a term without its formulas; this is a reconstruction.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

ROUNDS = 20
"""Iterations of k-means."""


def prototypes(features: Tensor, count: int, seed: int = 0) -> Tensor:
    """K-means with k-means++ seeding (Arthur and Vassilvitskii, SODA 2007).

    Args:
        features: (M, F), M at least ``count``.
        count: K.
        seed: of the seeding.

    Returns:
        (K, F) centres.
    """
    generator = torch.Generator().manual_seed(seed)
    first = torch.randint(features.shape[0], (1,), generator=generator)
    centres = features[first]
    for _ in range(count - 1):
        nearest = torch.cdist(features, centres).min(1).values.square()
        # If all features coincide, any choice is equally good.
        weights = nearest if nearest.sum() > 0 else torch.ones_like(nearest)
        centres = torch.cat([centres, features[torch.multinomial(weights, 1, generator=generator)]])
    for _ in range(ROUNDS):
        owner = torch.cdist(features, centres).argmin(1)
        members = functional.one_hot(owner, count).to(features.dtype)
        counts = members.sum(0)
        means = members.T @ features / counts.clamp(min=1).unsqueeze(1)
        centres = torch.where(counts.unsqueeze(1) > 0, means, centres)
    return centres


def assignment(features: Tensor, centres: Tensor, temperature: float = 1.0) -> Tensor:
    """Soft assignment to prototypes: softmax of −squared distance, in units of the mean squared distance.

    Args:
        features: (..., F).
        centres: (K, F).
        temperature: higher is softer.

    Returns:
        (..., K) probabilities.
    """
    squared = (features.unsqueeze(-2) - centres).square().sum(-1)
    scale = torch.cdist(centres, centres).square().sum() / max(centres.shape[0] * (centres.shape[0] - 1), 1)
    return (-squared / (temperature * scale + 1e-9)).softmax(-1)


def role_loss(expert: Tensor, student_logits: Tensor) -> Tensor:
    """KL(expert's assignment ‖ student's prediction), averaged.

    Args:
        expert: (..., K) probabilities.
        student_logits: (..., K).
    """
    log_expert = expert.clamp(min=1e-9).log()
    return (expert * (log_expert - student_logits.log_softmax(-1))).sum(-1).mean()
