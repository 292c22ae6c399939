"""Relation term: agents that are alike, or far apart, to the expert shall be so to the students.

After Park et al., "Relational Knowledge Distillation" (arXiv 1904.05068), equations 4 to 8: what is compared is not
features but distances and angles between them, so expert and students may have features of any width. Here the
things related are the agents of one moment, or one agent at several moments.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

SMALL = 1e-6


def pairwise_distances(features: Tensor) -> Tensor:
    """Distances between things, each set scaled by its own mean: (..., K, F) → (..., K, K) (equations 4 and 5)."""
    apart = features.unsqueeze(-2) - features.unsqueeze(-3)
    # The root has no slope at 0, where each thing lies from itself.
    distance = (apart.square().sum(-1) + SMALL**2).sqrt()
    things = features.shape[-2]
    mean = distance.sum((-2, -1), keepdim=True) / max(things * (things - 1), 1)
    return distance / (mean + SMALL)


def angles(features: Tensor) -> Tensor:
    """Cosines at each thing between all pairs of others: (..., K, F) → (..., K, K, K), [j, i, k] at j (equation 7)."""
    apart = features.unsqueeze(-3) - features.unsqueeze(-2)  # [j, i] from j to i
    direction = functional.normalize(apart, dim=-1, eps=SMALL)
    return direction @ direction.transpose(-2, -1)


def relation_loss(expert: Tensor, student: Tensor, angle_weight: float = 1.0) -> Tensor:
    """How differently expert and student relate the same things, averaged (equations 6 and 8, Huber).

    Args:
        expert: (..., K, F) features.
        student: (..., K, G) features of the same K things.
        angle_weight: weight of angles beside that of distances, 1; sets of two things have no angles.

    Returns:
        A scalar.
    """
    loss = functional.smooth_l1_loss(pairwise_distances(student), pairwise_distances(expert))
    if expert.shape[-2] > 2 and angle_weight:
        loss = loss + angle_weight * functional.smooth_l1_loss(angles(student), angles(expert))
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
