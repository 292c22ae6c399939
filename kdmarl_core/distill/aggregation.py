"""Student-state aggregation: students and expert take turns driving, the expert labels every visited state.

Dataset aggregation follows Ross et al., "A Reduction of Imitation Learning and Structured Prediction to
No-Regret Online Learning" (arXiv 1011.0686); here the driver is drawn for each agent separately, so that a
student also learns with teammates that are still driven by the expert.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from kdmarl_core.distill.relations import Projection
from kdmarl_core.envs.base import STUDENT, BatchedEnv
from kdmarl_core.envs.ownership import Kept
from kdmarl_core.expert.distributions import Distribution, apply
from kdmarl_core.expert.memory import Memory
from kdmarl_core.expert.policies import TeamPolicy, observe


class Labelled(NamedTuple):
    """M time steps of one type's n agents: what the students observed and what the expert would have done.

    Row m of all types is the same time step of the same team.
    """

    observation: Tensor
    """(M, n, O)"""
    expert: Distribution
    """over (M, n) agents"""
    projected: Tensor
    """(M, n, F) random projections of the expert's features; F is 0 where no term needs them"""
    starts: Tensor
    """(M,) bool: the first step of an episode"""
    state: Tensor
    """(M, n, H) recurrent states of the students before the step; H is 0 for those without memory"""


def merge(parts: list[Labelled]) -> Labelled:
    """Concatenate ``parts``."""
    return _each(lambda *tensors: torch.cat(tensors), *parts)


def rows(states: Labelled, chosen: Tensor | slice) -> Labelled:
    """Select some rows."""
    return _each(lambda x: x[chosen], states)


def _each(function: Callable[..., Tensor], *parts: Labelled) -> Labelled:
    """Apply ``function`` to each of the tensors of ``parts``."""
    return Labelled(
        function(*(part.observation for part in parts)),
        apply(function, *(part.expert for part in parts)),
        function(*(part.projected for part in parts)),
        function(*(part.starts for part in parts)),
        function(*(part.state for part in parts)),
    )


class Aggregate:
    """A growing store of labelled steps of one type that drops the oldest beyond ``capacity``."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._room: Labelled
        """the latest steps, then unused rows"""
        self._end = 0
        """number of used rows"""

    def add(self, part: Labelled) -> None:
        """Append rows. Results of earlier calls of :meth:`all` are not modified."""
        added = len(part.starts)
        if not self._end or self._end + added > len(self._room.starts):
            kept = self.all() if self._end else rows(part, slice(0))
            self._end = len(kept.starts)
            # Over-allocated, so that rows are rarely moved.
            size = min(2 * (self._end + added), self.capacity + self.capacity // 4 + added)
            self._room = _each(lambda x: x.new_empty((size, *x.shape[1:])), kept)
            _each(lambda room, x: room[: self._end].copy_(x), self._room, kept)
        _each(lambda room, x: room[self._end : self._end + added].copy_(x), self._room, part)
        self._end += added

    def all(self) -> Labelled:
        """The latest rows, at most ``capacity``, oldest first; call :meth:`add` before."""
        return rows(self._room, slice(max(0, self._end - self.capacity), self._end))


@torch.no_grad()
def gather(
    env: BatchedEnv,
    expert: TeamPolicy,
    students: TeamPolicy,
    steps: int,
    expert_share: float,
    projections: dict[str, Projection] | None = None,
    memory: Memory | None = None,
) -> dict[str, Labelled]:
    """Run ``steps`` steps and label every state.

    Each agent of each environment is driven by the expert with probability ``expert_share`` and by its
    student otherwise, drawn once per call. Both act greedily in half of the environments and sample in
    the others, so that recoveries are seen too. With ``projections`` (of each group) the expert's features are kept.
    ``memory`` holds the students' recurrent states, which persist across calls and are updated whoever drives.

    Returns:
        group → steps · B rows, row t · B + b is step t of environment b.
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
        features = expert.features(expert_sees) if projections else {}
        samples = {
            name: torch.where(
                expert_drives[name],
                torch.where(explores, advice[name].sample(), advice[name].mode()),
                torch.where(explores, own[name].sample(), own[name].mode()),
            )
            for name in advice
        }
        for name, seen in student_sees.items():
            projected = projections[name](features[name]) if projections else seen[..., :0]
            parts[name].append(Labelled(seen, advice[name], projected, starts, states.get(name, seen[..., :0])))
        step = env.step({name: command.numpy() for name, command in expert.command(samples).items()})
        memory.forget(torch.from_numpy(step.terminated | step.truncated))
        env.reset_ended()
    return {name: merge(of_group) for name, of_group in parts.items()}
