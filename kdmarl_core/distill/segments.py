"""Segments of consecutive steps, for recurrent students: truncated backpropagation through time.

Werbos, "Backpropagation Through Time: What It Does and How to Do It" (1990). A segment starts with the recurrent state
that the student's current weights would produce there. Stored states would be those of outdated networks (Kapturowski
et al., "Recurrent Experience Replay in Distributed Reinforcement Learning", ICLR 2019, measure the cost of this); zero
states would ask for decisions without the earlier cues. Recomputing them takes an occasional forward pass over all
stored steps.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kdmarl_core.distill.aggregation import Labelled
from kdmarl_core.expert.networks import Actor

BLOCK = 64
"""Steps whose states are recomputed at once, to bound the memory this takes."""


def draw(moments: int, envs: int, length: int, batch: int) -> Tensor:
    """Row indices of S segments drawn at random, (length · S,), ordered by step.

    Args:
        moments: number of stored rows: step by step, ``envs`` rows each; the oldest step may be incomplete.
        envs: environments.
        length: steps of a segment; at most the number of stored steps.
        batch: rows wanted; S is ``batch // length``, at least 1.
    """
    count = max(batch // length, 1)
    step = torch.randint(moments // envs - length + 1, (count,)) + torch.arange(length).unsqueeze(1)
    return (moments % envs + step * envs + torch.randint(envs, (count,))).flatten()


@torch.no_grad()
def recall(actor: Actor, kept: Labelled, envs: int) -> Labelled:
    """The stored rows with recurrent states recomputed by ``actor``."""
    if not actor.memory:
        return kept
    first = kept.starts.shape[0] % envs
    observation = _steps(kept.observation[first:], envs)
    starts = _steps(kept.starts[first:], envs)
    state = kept.state[first : first + envs]  # as stored: earlier steps are not available
    before = [kept.state[:first]]
    for step in range(0, len(starts), BLOCK):
        after = actor.sequence(observation[step : step + BLOCK], state, starts[step : step + BLOCK])
        before += [state, after[:-1].flatten(0, 1)]
        state = after[-1]
    return kept._replace(state=torch.cat(before))


def unroll(actor: Actor, moments: Labelled, length: int) -> Tensor:
    """Features of segments as drawn by :func:`draw`, (length · S, n, F)."""
    count = len(moments.starts) // length
    observation, starts = _steps(moments.observation, count), _steps(moments.starts, count)
    return actor.sequence(observation, moments.state[:count], starts).flatten(0, 1)


def _steps(rows: Tensor, width: int) -> Tensor:
    """(T · width, ...) → (T, width, ...)."""
    return rows.reshape(-1, width, *rows.shape[1:])
