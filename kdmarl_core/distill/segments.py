"""Moments in a row, for students with memory: truncated backpropagation through time.

Werbos, "Backpropagation Through Time: What It Does and How to Do It" (1990). A segment starts with what the student,
as it is now, would remember there. States kept from the drive would be those of networks long gone (Kapturowski et
al., "Recurrent Experience Replay in Distributed Reinforcement Learning", ICLR 2019, measure what that costs); zero
states would ask for decisions without the cues that came before. Recalling them takes one forward pass over all
moments, now and then.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kdmarl_core.distill.aggregation import Labelled
from kdmarl_core.expert.networks import Actor

BLOCK = 64
"""Steps that are recalled at once, to bound the space this takes."""


def draw(moments: int, envs: int, length: int, batch: int) -> Tensor:
    """Rows of segments drawn at random, (length · S,) with those of one moment beside each other.

    Args:
        moments: that are kept: step by step, in each ``envs`` of them; of the oldest step, some may be forgotten.
        envs: environments.
        length: moments of a segment; at most the steps that are kept.
        batch: moments wanted; S is ``batch // length``, at least 1.
    """
    count = max(batch // length, 1)
    step = torch.randint(moments // envs - length + 1, (count,)) + torch.arange(length).unsqueeze(1)
    return (moments % envs + step * envs + torch.randint(envs, (count,))).flatten()


@torch.no_grad()
def recall(actor: Actor, kept: Labelled, envs: int) -> Labelled:
    """All moments that are kept, with the states in which ``actor`` would meet them."""
    if not actor.memory:
        return kept
    first = kept.starts.shape[0] % envs
    observation = _steps(kept.observation[first:], envs)
    starts = _steps(kept.starts[first:], envs)
    state = kept.state[first : first + envs]  # of the drive: nothing is kept of what came before
    before = [kept.state[:first]]
    for step in range(0, len(starts), BLOCK):
        after = actor.sequence(observation[step : step + BLOCK], state, starts[step : step + BLOCK])
        before += [state, after[:-1].flatten(0, 1)]
        state = after[-1]
    return kept._replace(state=torch.cat(before))


def unroll(actor: Actor, moments: Labelled, length: int) -> Tensor:
    """Features of moments as :func:`draw` gives them, (length · S, n, F)."""
    count = len(moments.starts) // length
    observation, starts = _steps(moments.observation, count), _steps(moments.starts, count)
    return actor.sequence(observation, moments.state[:count], starts).flatten(0, 1)


def _steps(moments: Tensor, beside: int) -> Tensor:
    """(T · beside, ...) → (T, beside, ...)."""
    return moments.reshape(-1, beside, *moments.shape[1:])
