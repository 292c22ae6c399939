"""Student-state aggregation: students and expert share the wheel, the expert labels every visited state.

Dataset aggregation follows Ross et al., "A Reduction of Imitation Learning and Structured Prediction to
No-Regret Online Learning" (arXiv 1011.0686); here the wheel is shared agent by agent, so that a student
also learns beside team mates that are still experts.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from kdmarl_core.envs.base import STUDENT, BatchedEnv
from kdmarl_core.expert.distributions import Distribution, apply, stack
from kdmarl_core.expert.networks import TeamPolicy, observe


class Labelled(NamedTuple):
    """Visited states of one type: what the student saw and what the expert would have done."""

    observation: Tensor
    """(M, O)"""
    expert: Distribution
    """over (M,) states"""


def merge(parts: list[Labelled]) -> Labelled:
    """All states of ``parts``, in their order."""
    return Labelled(torch.cat([part.observation for part in parts]), stack([part.expert for part in parts]))


class Aggregate:
    """A growing store of labelled states for one type that forgets the oldest beyond ``capacity``."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._parts: list[Labelled] = []

    def add(self, part: Labelled) -> None:
        """Append states."""
        self._parts.append(part)

    def all(self) -> Labelled:
        """The latest states, at most ``capacity``, oldest first."""
        merged = merge(self._parts)
        latest = apply(merged.expert, lambda x: x[-self.capacity :])
        self._parts = [Labelled(merged.observation[-self.capacity :], latest)]
        return self._parts[0]


@torch.no_grad()
def gather(
    env: BatchedEnv, expert: TeamPolicy, students: TeamPolicy, steps: int, expert_share: float
) -> dict[str, Labelled]:
    """Run ``steps`` steps and label every state.

    Each agent of each environment is driven by the expert with probability ``expert_share`` and by its
    student otherwise, drawn anew for each call. Both act greedily on half the environments and sample on
    the others, so that recoveries are seen too.

    Returns:
        group → states in (steps · B · n) rows.
    """
    rows: dict[str, list[Labelled]] = {group.name: [] for group in env.groups}
    expert_drives = {g.name: torch.rand(env.num_envs, g.count, 1) < expert_share for g in env.groups}
    explores = (torch.arange(env.num_envs) % 2 == 0)[:, None, None]
    for _ in range(steps):
        student_sees = observe(env, STUDENT)
        advice, own = expert(observe(env, expert.view)), students(student_sees)
        samples = {
            name: torch.where(
                expert_drives[name],
                torch.where(explores, advice[name].sample(), advice[name].mode()),
                torch.where(explores, own[name].sample(), own[name].mode()),
            )
            for name in advice
        }
        for name, distribution in advice.items():
            flat = apply(distribution, lambda x: x.flatten(0, 1))
            rows[name].append(Labelled(student_sees[name].flatten(0, 1), flat))
        env.step({name: command.numpy() for name, command in expert.command(samples).items()})
        env.reset_ended()
    return {name: merge(parts) for name, parts in rows.items()}
