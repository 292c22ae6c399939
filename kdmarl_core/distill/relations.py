"""Relation term: agents that are alike, or far apart, to the expert shall be so to the students.

After Park et al., "Relational Knowledge Distillation" (arXiv 1904.05068), equations 4 to 8: what is compared is not
features but distances and angles between them, so expert and students may have features of any width. Here the
things related are the agents of one moment, or one agent at several moments.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

CLOSE = 1e-3
"""Things closer than this, in mean distances, lie in no direction from each other."""


def pairwise_distances(features: Tensor) -> Tensor:
    """Distances between things, each set scaled by its own mean: (..., K, F) → (..., K, K) (equations 4 and 5)."""
    # Not by products of features, which are quicker for many things but lose the small distances.
    distance = torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist")
    things = features.shape[-2]
    mean = distance.sum((-2, -1), keepdim=True) / max(things * (things - 1), 1)
    return distance / mean.clamp(min=1e-6)


def angles(distances: Tensor) -> Tensor:
    """Cosines at each thing between all pairs of others, as equation 7 has them but by the law of cosines.

    Args:
        distances: (..., K, K) of :func:`pairwise_distances`; no features, of which there are many more numbers.

    Returns:
        (..., K, K, K), [j, i, k] at j; 0 where there is no direction from j to i or to k.
    """
    squared = distances.square()
    inverse = torch.where(distances > CLOSE, 1 / distances.clamp(min=CLOSE), 0.0)
    beside = squared.unsqueeze(-1) + squared.unsqueeze(-2) - squared.unsqueeze(-3)
    return 0.5 * beside * inverse.unsqueeze(-1) * inverse.unsqueeze(-2)


def relation_loss(expert: Tensor, student: Tensor, angle_weight: float = 1.0) -> Tensor:
    """How differently expert and student relate the same things, averaged (equations 6 and 8, Huber).

    Args:
        expert: (..., K, F) features.
        student: (..., K, G) features of the same K things.
        angle_weight: weight of angles beside that of distances, 1; sets of two things have no angles.

    Returns:
        A scalar.
    """
    wanted, given = pairwise_distances(expert), pairwise_distances(student)
    loss = functional.smooth_l1_loss(given, wanted)
    if expert.shape[-2] > 2 and angle_weight:
        loss = loss + angle_weight * functional.smooth_l1_loss(angles(given), angles(wanted))
    return loss


class Sketch(torch.nn.Module):
    """A fixed random projection that keeps distances and angles nearly, to store wide features cheaply.

    Johnson and Lindenstrauss, "Extensions of Lipschitz mappings into a Hilbert space" (1984).

    Args:
        size: of the features.
        kept: of their sketches; distances are off by about 1/√(2·kept).
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
