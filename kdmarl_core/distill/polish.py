"""Distilled advantage: students go from imitation to policy gradient under the expert's frozen critic."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, NamedTuple

import msgspec
import torch
from torch import Tensor, nn

from kdmarl_core.contract import KdmarlError, observation_size
from kdmarl_core.contract.bounds import NonNegative, Positive
from kdmarl_core.distill.advantage import advantage_loss
from kdmarl_core.distill.losses import LossWeights, imitation_loss
from kdmarl_core.envs.base import STUDENT, BatchedEnv
from kdmarl_core.expert.distributions import Distribution, apply
from kdmarl_core.expert.memory import Memory
from kdmarl_core.expert.policies import DecentralizedPolicy, States, TeamPolicy
from kdmarl_core.expert.ppo import Batch, PPOConfig, Rollout, advantages, standardized

Count = Annotated[int, msgspec.Meta(ge=1)]
Unit = Annotated[float, msgspec.Meta(ge=0, le=1)]


REVISION = {"polish_over_types": "sum"}
"""How types share a gradient step: since this revision, losses are summed. Makes no difference with one type."""


class PolishConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How students learn from the expert's critic, after imitation."""

    rounds: Annotated[int, msgspec.Meta(ge=0)] = 200
    """of driving and learning; 0 skips this stage"""
    first_share: Unit = 0.5
    """weight of the advantage in the first round; imitation has the rest"""
    share: Unit = 1.0
    """the same in the last round, with a linear change in between"""
    entropy_bonus: NonNegative = 0.01
    """weight of the students' entropy: actions the expert never takes may be best for students that see less"""
    steps: Count = 50
    """of each environment in a round"""
    epochs: Count = 3
    minibatches: Count = 8
    learning_rate: Positive = 2e-3
    decay: Unit = 0.33
    """share of the rounds, at the end, over which the learning rate falls to zero"""
    clip: Positive = 0.2
    max_grad_norm: NonNegative = 1.0


class _Driven(NamedTuple):
    """A rollout of T steps of the students in B environments."""

    batch: Batch
    advantage: dict[str, Tensor]
    """(T · B, n)"""
    advice: dict[str, Distribution]
    """of the expert, over (T · B, n) agents"""
    states: States
    """of students with memory, before the first step"""
    starts: Tensor
    """(T, B) bool: the first step of an episode"""


class Polisher:
    """Improves students on their own rollouts; the expert's policy and critics stay frozen.

    A student has no critic: advantages are generalised advantage estimates (arXiv 1506.02438) under the expert's.

    Args:
        config: hyperparameters.
        weights: of the imitation terms.
        env: where the students drive.
        expert: labels every state.
        critics: the expert's, by group.
        students: to be improved.
        ppo: how the expert was trained: gamma and lambda of its critics' values.
        memory: the students' recurrent states in ``env``; by default they start from zero.
    """

    def __init__(
        self,
        config: PolishConfig,
        weights: LossWeights,
        env: BatchedEnv,
        expert: TeamPolicy,
        critics: nn.ModuleDict,
        students: DecentralizedPolicy,
        ppo: PPOConfig,
        memory: Memory | None = None,
    ) -> None:
        self.config, self.weights, self.ppo = config, weights, ppo
        self.expert, self.critics, self.students = expert, critics, students
        self._memory = memory or Memory(students, env)
        self._rollout = Rollout(env, STUDENT, expert.view)
        self._seen = {group.name: observation_size(group.observation[expert.view]) for group in env.groups}
        self._optimizer = torch.optim.Adam(students.parameters(), lr=config.learning_rate)

    def round(self, index: int) -> dict[str, float]:
        """Collect a rollout and learn from it; ``index`` counts from 0. Returns the share and mean loss of the
        advantage, summed over types.

        Raises:
            KdmarlError: a loss is not finite.
        """
        first, last = self.config.first_share, self.config.share
        share = first + (last - first) * index / max(self.config.rounds - 1, 1)
        for group in self._optimizer.param_groups:
            group["lr"] = self.config.learning_rate * self._remaining(index)
        states, starts = self._memory.states, self._memory.starts
        batch, _ = self._rollout.collect(self.students, self.critics, self.config.steps, self._memory)
        advantage = {name: self._advantage(name, batch) for name in batch.observation}
        driven = _Driven(batch, advantage, self._advice(batch), states, torch.cat([starts[None], batch.ended[:-1]]))
        losses = []
        for _ in range(self.config.epochs):
            for chosen in self._minibatches(*batch.ended.shape):
                losses.append(self._learn(driven, chosen, share))
        return {"advantage_share": share, "advantage": sum(losses) / len(losses)}

    def _remaining(self, index: int) -> float:
        """Factor of the learning rate in a round."""
        rounds = self.config.rounds
        return min(1.0, (rounds - index) / max(self.config.decay * rounds, 1e-9))

    def _advantage(self, name: str, batch: Batch) -> Tensor:
        """(T · B, n), with zero mean and unit variance."""
        return standardized(advantages(batch, name, self.ppo.gamma, self.ppo.gae_lambda)).flatten(0, 1)

    @torch.no_grad()
    def _advice(self, batch: Batch) -> dict[str, Distribution]:
        """What the expert would have done, over (T · B, n) agents; a critic's input begins with its observation."""
        seen = {name: state[..., : self._seen[name]].flatten(0, 1) for name, state in batch.state.items()}
        return self.expert(seen)

    def _minibatches(self, steps: int, envs: int) -> Iterable[Tensor]:
        """Indices of the T · B steps in random order; with memory, those of whole environments, step by step."""
        if not self.students.memories:
            return torch.randperm(steps * envs).chunk(self.config.minibatches)
        chunks = torch.randperm(envs).chunk(self.config.minibatches)
        return [(torch.arange(steps).unsqueeze(1) * envs + chosen).flatten() for chosen in chunks]

    def _decide(self, name: str, driven: _Driven, chosen: Tensor) -> Distribution:
        """What the students of one type would do now in the ``chosen`` steps."""
        actor, observation = self.students.actor(name), driven.batch.observation[name]
        rows = observation.flatten(0, 1)[chosen]
        if not actor.memory:
            return actor(rows)
        envs = chosen[: len(chosen) // len(observation)]
        features = actor.sequence(observation[:, envs], driven.states[name][envs], driven.starts[:, envs])
        return actor.decide(features.flatten(0, 1), rows)

    def _loss(self, driven: _Driven, chosen: Tensor, share: float) -> tuple[Tensor, Tensor]:
        """The loss and its advantage part, each summed over types."""
        batch = driven.batch
        gains: list[Tensor] = []
        imitation: list[Tensor] = []
        entropy: list[Tensor] = []
        for name in batch.observation:
            decided = self._decide(name, driven, chosen)
            log_prob = decided.log_prob(batch.sample[name].flatten(0, 1)[chosen])
            old = batch.log_prob[name].flatten(0, 1)[chosen]
            gains.append(advantage_loss(log_prob, old, driven.advantage[name][chosen], self.config.clip))
            advised = apply(lambda x: x[chosen], driven.advice[name])
            imitation += imitation_loss(advised, decided, self.weights).values()
            entropy.append(decided.entropy().mean())
        gain = torch.stack(gains).sum()
        loss = share * gain + (1 - share) * torch.stack(imitation).sum()
        return loss - self.config.entropy_bonus * torch.stack(entropy).sum(), gain

    def _learn(self, driven: _Driven, chosen: Tensor, share: float) -> float:
        loss, gain = self._loss(driven, chosen, share)
        if not torch.isfinite(loss):
            raise KdmarlError(f"the loss is {loss.item()}; lower distill.polish.learning_rate and distill again")
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        for actor in self.students.actors.values():
            nn.utils.clip_grad_norm_(actor.parameters(), self.config.max_grad_norm)
        self._optimizer.step()
        return gain.item()
