"""A hand-written expert for ``simple_spread``: agents go to the landmarks assigned by shortest total distance."""

from __future__ import annotations

import itertools

import numpy as np

DAMPING = 0.75
"""Fraction of the velocity that remains after a step, in MPE."""
PUSH = 0.5
"""Velocity that a move adds in a step, in MPE."""


class Assign:
    """Maps observations, group → (B, n, O), to actions, group → (B, n, 1).

    An agent observes its velocity and position, then all landmarks and all others, relative to itself. Its actions are
    to stay, or to push left, right, down, up.

    Args:
        groups: the team's groups, of which there is one.
        gain: desired velocity per unit of distance.
    """

    def __init__(self, groups, gain: float = 4.0) -> None:
        (group,) = groups
        self.name, self.agents, self.gain = group.name, group.count, gain
        self.orders = np.array(list(itertools.permutations(range(self.agents))))

    def __call__(self, observation: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Every agent drives to its landmark."""
        seen = observation[self.name]
        velocity, rest = seen[..., :2], seen[..., 4:]
        landmarks = rest[..., : 2 * self.agents].reshape(*seen.shape[:2], self.agents, 2)
        others = rest[..., 2 * self.agents : 4 * self.agents - 2].reshape(*seen.shape[:2], self.agents - 1, 2)
        team = np.concatenate([np.zeros_like(landmarks[..., :1, :]), others], -2)  # itself first
        way = np.linalg.norm(landmarks[..., None, :, :] - team[..., :, None, :], axis=-1)  # (B, n, agent, landmark)
        total = way[..., np.arange(self.agents), self.orders].sum(-1)
        own = self.orders[total.argmin(-1)][..., 0]
        offset = np.take_along_axis(landmarks, own[..., None, None], -2)[..., 0, :]
        change = self.gain * offset - DAMPING * velocity
        axis = np.abs(change).argmax(-1)
        size = np.take_along_axis(change, axis[..., None], -1)[..., 0]
        move = np.where(np.abs(size) < PUSH / 2, 0, 1 + 2 * axis + (size > 0))
        return {self.name: move[..., None]}
