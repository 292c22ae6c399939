"""Structured supervision: auxiliary losses in addition to the expert's decisions; their heads are not exported."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from kdmarl_core.distill.advantage import imitability
from kdmarl_core.distill.aggregation import Labelled
from kdmarl_core.distill.losses import LossWeights, imitation_loss
from kdmarl_core.distill.relations import Projection, relation_loss
from kdmarl_core.distill.roles import assignment, prototypes, role_loss
from kdmarl_core.distill.segments import unroll
from kdmarl_core.expert.distributions import SquashedGaussian
from kdmarl_core.expert.policies import DecentralizedPolicy, TeamPolicy

PROJECTED = 32
"""Size of the expert's projected features, and of the students' features in the relation term."""
SET = 8
"""Time steps that are related to each other."""
FOR_ROLES = 4096
"""Agents from whose features the roles are found."""


class _Auxiliary(nn.Module):
    """Heads on one student's features."""

    def __init__(self, width: int, outputs: int, weights: LossWeights) -> None:
        super().__init__()
        self.relate = nn.Linear(width, PROJECTED)
        self.role = nn.Linear(width, weights.roles)
        self.follow = nn.Linear(width, outputs)


class Structure(nn.Module):
    """The terms of the loss for a whole team, with the heads that they need.

    Args:
        expert: its features define relations and roles.
        students: to be trained.
        weights: of the terms; terms of weight 0 are not computed.
        seed: of the projections.
    """

    def __init__(self, expert: TeamPolicy, students: DecentralizedPolicy, weights: LossWeights, seed: int) -> None:
        super().__init__()
        self.students, self.weights = students, weights
        self.between_agents = expert.one_space
        actors = {name: students.actor(name) for name in students.actors}
        self.auxiliaries = nn.ModuleDict(
            {name: _Auxiliary(actor.net[-1].in_features, actor.head.outputs, weights) for name, actor in actors.items()}  # type: ignore[arg-type]
        )
        self._seed = seed
        self._centres: dict[str, Tensor] = {}

    def projections(self, features: dict[str, Tensor]) -> dict[str, Projection] | None:
        """Projections for the expert's ``features`` (group → (..., F)); None where no term needs them."""
        if not self.weights.of_features:
            return None
        return {name: Projection(x.shape[-1], PROJECTED, self._seed) for name, x in features.items()}

    def find_roles(self, data: dict[str, Labelled]) -> None:
        """Fix the prototypes of every type's roles from the expert's features in ``data``."""
        if self.weights.role:
            for name, states in data.items():
                features = states.projected.flatten(0, 1)
                chosen = torch.randperm(features.shape[0])[:FOR_ROLES]
                self._centres[name] = prototypes(features[chosen], self.weights.roles, self._seed)

    def loss(self, data: dict[str, Labelled], length: int = 1) -> dict[str, Tensor]:
        """The weighted terms on a batch of time steps, by ``group/term``; their sum is the loss.

        Steps are segments of ``length`` as drawn by :func:`~kdmarl_core.distill.segments.draw`, to train memory.
        """
        features = {name: unroll(self.students.actor(name), states, length) for name, states in data.items()}
        terms: dict[str, Tensor] = {}
        for name, states in data.items():
            trust: Tensor | float = 1.0
            if self.weights.imitability:
                terms[f"{name}/follow"], trust = self._trust(name, features[name], states)
            decided = self.students.actor(name).decide(features[name], states.observation)
            for term, value in imitation_loss(states.expert, decided, self.weights, trust).items():
                terms[f"{name}/{term}"] = value
            if self.weights.role:
                roles = assignment(states.projected, self._centres[name])
                predicted = self._auxiliary(name).role(features[name])
                terms[f"{name}/role"] = self.weights.role * role_loss(roles, predicted)
        if self.weights.relation:
            terms |= self._relations(features, data)
        return terms

    def _trust(self, name: str, features: Tensor, states: Labelled) -> tuple[Tensor, Tensor]:
        """Loss of the head that only imitates, and weights of how far advice can be followed, (M, n).

        The head learns from the student's features; its gradients do not reach them.
        """
        head = self.students.heads[name]
        followed = head.distribution(self._auxiliary(name).follow(features.detach()), states.observation)
        if isinstance(followed, SquashedGaussian) and not head.state_dependent:
            followed = followed._replace(log_std=followed.log_std.detach())  # shared with the student
        divergence = states.expert.kl_to(followed)  # type: ignore[arg-type]
        return divergence.mean(), imitability(divergence, self.weights.imitability)

    def _relations(self, features: dict[str, Tensor], data: dict[str, Labelled]) -> dict[str, Tensor]:
        related = {name: self._auxiliary(name).relate(x) for name, x in features.items()}
        terms = {}
        if self.between_agents and sum(x.shape[-2] for x in related.values()) > 2:
            team = torch.cat([related[name] for name in data], -2)
            expert = torch.cat([states.projected for states in data.values()], -2)
            terms["team/relation"] = self.weights.relation * relation_loss(expert, team)
        for name, states in data.items():
            terms[f"{name}/relation"] = self.weights.relation * relation_loss(
                _sets(states.projected), _sets(related[name])
            )
        return terms

    def _auxiliary(self, name: str) -> _Auxiliary:
        return cast(_Auxiliary, self.auxiliaries[name])


def _sets(features: Tensor) -> Tensor:
    """(M, n, F) → (M // SET, n, SET, F): sets of time steps of one agent."""
    whole = features[: features.shape[0] // SET * SET]
    return whole.reshape(-1, SET, *features.shape[1:]).transpose(1, 2)
