"""Student-state aggregation: students and expert share the wheel, the expert labels every visited state.

Dataset aggregation follows Ross et al., "A Reduction of Imitation Learning and Structured Prediction to
No-Regret Online Learning" (arXiv 1011.0686); here the wheel is shared agent by agent, so that a student
also learns beside team mates that are still experts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from kdmarl_core.distill.relations import Sketch
from kdmarl_core.envs.base import STUDENT, BatchedEnv
from kdmarl_core.envs.ownership import Kept
from kdmarl_core.expert.distributions import Distribution, apply
from kdmarl_core.expert.memory import Memory
from kdmarl_core.expert.policies import TeamPolicy, observe


class Labelled(NamedTuple):
    """M moments of one type's n agents: what the students saw and what the expert would have done.

    Row m of all types is one moment of one team.
    """

    observation: Tensor
    """(M, n, O)"""
    expert: Distribution
    """over (M, n) agents"""
    sketch: Tensor
    """(M, n, F) of the expert's features; F is 0 where no term needs them"""
    starts: Tensor
    """(M,) bool: the first moment of an episode"""
    state: Tensor
    """(M, n, H) what the students remembered before the moment; H is 0 for those without memory"""


def merge(parts: list[Labelled]) -> Labelled:
    """All moments of ``parts``, in their order."""
    return _each(lambda *tensors: torch.cat(tensors), *parts)


def rows(states: Labelled, chosen: Tensor | slice) -> Labelled:
    """Some of the moments."""
    return _each(lambda x: x[chosen], states)


def _each(function: Callable[..., Tensor], *parts: Labelled) -> Labelled:
    """Moments whose tensors are ``function`` of those of ``parts``."""
    return Labelled(
        function(*(part.observation for part in parts)),
        apply(function, *(part.expert for part in parts)),
        function(*(part.sketch for part in parts)),
        function(*(part.starts for part in parts)),
        function(*(part.state for part in parts)),
    )


class Aggregate:
    """A growing store of labelled moments of one type that forgets the oldest beyond ``capacity``."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._room: Labelled
        """the latest moments, then rows that wait for others"""
        self._end = 0
        """how many rows of it are moments"""

    def add(self, part: Labelled) -> None:
        """Append moments. What :meth:`all` gave before stays as it is."""
        added = len(part.starts)
        if not self._end or self._end + added > len(self._room.starts):
            kept = self.all() if self._end else rows(part, slice(0))
            self._end = len(kept.starts)
            # More than is needed, so that little is moved on the whole.
            size = min(2 * (self._end + added), self.capacity + self.capacity // 4 + added)
            self._room = _each(lambda x: x.new_empty((size, *x.shape[1:])), kept)
            _each(lambda room, x: room[: self._end].copy_(x), self._room, kept)
        _each(lambda room, x: room[self._end : self._end + added].copy_(x), self._room, part)
        self._end += added

    def all(self) -> Labelled:
        """The latest moments, at most ``capacity``, oldest first; after :meth:`add`."""
        return rows(self._room, slice(max(0, self._end - self.capacity), self._end))


@torch.no_grad()
def gather(
    env: BatchedEnv,
    expert: TeamPolicy,
    students: TeamPolicy,
    steps: int,
    expert_share: float,
    sketches: dict[str, Sketch] | None = None,
    memory: Memory | None = None,
) -> dict[str, Labelled]:
    """Run ``steps`` steps and label every state.

    Each agent of each environment is driven by the expert with probability ``expert_share`` and by its
    student otherwise, drawn anew for each call. Both act greedily on half the environments and sample on
    the others, so that recoveries are seen too. With ``sketches`` (of each group) the expert's features are kept.
    ``memory`` is the students', which goes on from call to call; what they see is remembered whoever drives.

    Returns:
        group → steps · B moments, row t · B + b the t-th of environment b.
    """
    memory = memory or Memory(students, env)
    parts: dict[str, list[Labelled]] = {group.name: [] for group in env.groups}
    expert_drives = {g.name: torch.rand(env.num_envs, g.count, 1) < expert_share for g in env.groups}
    explores = (torch.arange(env.num_envs) % 2 == 0)[:, None, None]
    kept = Kept()
    for _ in range(steps):
        student_sees, expert_sees = observe(env, STUDENT), observe(env, expert.view)
        kept.keep(f"observe('{STUDENT}')", {name: seen.numpy() for name, seen in student_sees.items()})
        starts, states = memory.starts, memory.states
        advice, own = expert(expert_sees), memory.step(student_sees)
        features = expert.features(expert_sees) if sketches else {}
        samples = {
            name: torch.where(
                expert_drives[name],
                torch.where(explores, advice[name].sample(), advice[name].mode()),
                torch.where(explores, own[name].sample(), own[name].mode()),
            )
            for name in advice
        }
        for name, seen in student_sees.items():
            sketch = sketches[name](features[name]) if sketches else seen[..., :0]
            parts[name].append(Labelled(seen, advice[name], sketch, starts, states.get(name, seen[..., :0])))
        step = env.step({name: command.numpy() for name, command in expert.command(samples).items()})
        memory.forget(torch.from_numpy(step.terminated | step.truncated))
        env.reset_ended()
    return {name: merge(of_group) for name, of_group in parts.items()}
