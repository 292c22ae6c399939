"""Relation term: agents that are similar, or different, to the expert should be so to the students.

After Park et al., "Relational Knowledge Distillation" (arXiv 1904.05068), equations 4 to 8: not features are compared
but distances and angles between them, so expert and students may have features of any width. The related items are
the agents of one time step, or one agent at several time steps.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

CLOSE = 1e-3
"""Between items closer than this, in units of the mean distance, no direction is defined."""


def pairwise_distances(features: Tensor) -> Tensor:
    """Distances between items, each set scaled by its own mean: (..., K, F) → (..., K, K) (equations 4 and 5)."""
    # Not by matrix products, which are faster for many items but lose small distances to rounding.
    distance = torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist")
    things = features.shape[-2]
    mean = distance.sum((-2, -1), keepdim=True) / max(things * (things - 1), 1)
    return distance / mean.clamp(min=1e-6)


def angles(distances: Tensor) -> Tensor:
    """Cosines at each item between all pairs of others, as in equation 7 but by the law of cosines.

    Args:
        distances: (..., K, K) of :func:`pairwise_distances`; features would be many more numbers.

    Returns:
        (..., K, K, K), [j, i, k] at j; 0 where the direction from j to i or to k is undefined.
    """
    squared = distances.square()
    inverse = torch.where(distances > CLOSE, 1 / distances.clamp(min=CLOSE), 0.0)
    difference = squared.unsqueeze(-1) + squared.unsqueeze(-2) - squared.unsqueeze(-3)
    return 0.5 * difference * inverse.unsqueeze(-1) * inverse.unsqueeze(-2)


def relation_loss(expert: Tensor, student: Tensor, angle_weight: float = 1.0) -> Tensor:
    """How differently expert and student relate the same items, averaged (equations 6 and 8, Huber).

    Args:
        expert: (..., K, F) features.
        student: (..., K, G) features of the same K items.
        angle_weight: weight of angles relative to distances; sets of two items have no angles.

    Returns:
        A scalar.
    """
    wanted, given = pairwise_distances(expert), pairwise_distances(student)
    loss = functional.smooth_l1_loss(given, wanted)
    if expert.shape[-2] > 2 and angle_weight:
        loss = loss + angle_weight * functional.smooth_l1_loss(angles(given), angles(wanted))
    return loss


class Projection(torch.nn.Module):
    """A fixed random projection that nearly preserves distances and angles, to store wide features cheaply.

    Johnson and Lindenstrauss, "Extensions of Lipschitz mappings into a Hilbert space" (1984).

    Args:
        size: of the features.
        kept: size of the projected features; the relative error of distances is about 1/√(2·kept).
        seed: of the projection.
    """

    matrix: Tensor

    def __init__(self, size: int, kept: int = 32, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.register_buffer("matrix", torch.randn(size, kept, generator=generator) / kept**0.5)

    def forward(self, features: Tensor) -> Tensor:
        """(..., size) → (..., kept)."""
        return features @ self.matrix
