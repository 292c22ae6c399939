"""The rule by which the prey of ``simple_tag`` flees; it is part of the task, and nothing of it is trained."""

from __future__ import annotations

import numpy as np

from kdmarl_core.envs.particle.kernels import DAMPING, STEP
from kdmarl_core.envs.particle.scenarios import DIRECTIONS

AHEAD = 0.5
"""[s] how far it looks"""
EDGE = 0.9
"""Distance from the middle, along an axis, from which on ``simple_tag.py`` charges the prey."""
FEAR_OF_EDGE = 5.0
"""How much nearer it lets hunters come rather than go further beyond the edge."""


def flee(position: np.ndarray, velocity: np.ndarray, hunters: int, force: float) -> np.ndarray:
    """The move of each prey, (B, P): where it goes soon, the nearest hunter is far, and the edge is not passed.

    It looks straight ahead, at the speed that the move gives it: hunters stand, and there are neither obstacles, nor
    damping, nor its greatest speed.

    Args:
        position: (B, N + P, 2), the prey last.
        velocity: likewise.
        hunters: N.
        force: of a move of the prey, whose mass is 1.
    """
    feared, prey = np.split(position, [hunters], 1)
    after = velocity[:, hunters:, None] * (1 - DAMPING) + force * DIRECTIONS * STEP
    there = prey[:, :, None] + AHEAD * after
    distance = np.linalg.norm(there[:, :, :, None] - feared[:, None, None], axis=-1).min(-1)
    beyond = np.maximum(np.abs(there) - EDGE, 0).sum(-1)
    moves: np.ndarray = (distance - FEAR_OF_EDGE * beyond).argmax(-1)
    return moves
