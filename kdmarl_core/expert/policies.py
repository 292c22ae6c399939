"""Policies of a team: one actor per type, one for all types, or attention over all agents.

A team policy maps the observations of all agents to action distributions for all agents; subclasses decide which agent
sees which observations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from kdmarl_core.contract import KdmarlError, action_mask, observation_size
from kdmarl_core.envs.base import EXPERT, BatchedEnv, Group
from kdmarl_core.expert.distributions import Distribution
from kdmarl_core.expert.networks import Actor, Head, NetworkConfig, Normalizer, linear_macs, mlp

ATTENTION_HEADS = 4
"""of a centralized policy"""
States = dict[str, Tensor]
"""Group → recurrent states (B, n, H); only types with memory"""


def observe(env: BatchedEnv, view: str) -> dict[str, Tensor]:
    """Input of a team policy: group → (B, n, O), the current observations of ``view``; shares the env's arrays."""
    return {name: torch.from_numpy(x) for name, x in env.observe(view).items()}


def greedy(policy: TeamPolicy) -> Callable[[BatchedEnv], dict[str, np.ndarray]]:
    """A function of the environment that returns the policy's most likely commands: group → (B, n, A)."""

    @torch.no_grad()
    def act(env: BatchedEnv) -> dict[str, np.ndarray]:
        distributions = policy(observe(env, policy.view))
        commands = policy.command({name: d.mode() for name, d in distributions.items()})
        return {name: command.numpy() for name, command in commands.items()}

    return act


class TeamPolicy(nn.Module):
    """Base of team policies: observations of all groups in, distributions of all groups out."""

    heads: dict[str, Head]
    has_features: bool = True
    """whether it has :meth:`features`"""
    one_space: bool = True
    """whether the features of all types come from one network, so that they can be compared"""
    memories: Mapping[str, int] = MappingProxyType({})
    """widths of the recurrent states; only types with memory"""

    def __init__(self, view: str) -> None:
        super().__init__()
        self.view = view
        """which observations it receives"""

    def features(self, observation: dict[str, Tensor]) -> dict[str, Tensor]:
        """Group → (..., n, O) to group → inputs of the last layer, (..., n, F)."""
        raise NotImplementedError

    def decide(self, features: dict[str, Tensor], observation: dict[str, Tensor]) -> dict[str, Distribution]:
        """Features of all groups, and the observations they come from, to distributions over (..., n) agents."""
        raise NotImplementedError

    def forward(self, observation: dict[str, Tensor]) -> dict[str, Distribution]:
        """Group → (..., n, O) to group → distribution over (..., n) agents."""
        return self.decide(self.features(observation), observation)

    def step(self, observation: dict[str, Tensor], states: States) -> tuple[dict[str, Distribution], States]:
        """As :meth:`forward` for agents with memory: takes and returns their states (empty without memory)."""
        return self(observation), states

    def update_normalizers(self, observation: dict[str, Tensor]) -> None:
        """Update the running statistics with observations."""
        raise NotImplementedError

    def macs(self, group: str) -> int | None:
        """Multiply-accumulates of one decision of one agent of ``group``; None if unknown."""
        raise NotImplementedError

    def command(self, samples: dict[str, Tensor]) -> dict[str, Tensor]:
        """Samples of each group → commands in the action space's units."""
        return {group: self.heads[group].command(sample) for group, sample in samples.items()}


class DecentralizedPolicy(TeamPolicy):
    """One actor per type, possibly of different sizes; an agent sees only its own observation."""

    def __init__(self, groups: tuple[Group, ...], view: str, configs: dict[str, NetworkConfig]) -> None:
        super().__init__(view)
        self.actors = nn.ModuleDict(
            {
                g.name: Actor(observation_size(g.observation[view]), g.action, configs[g.name], _mask(g, view))
                for g in groups
            }
        )
        self.heads = {name: actor.head for name, actor in self.actors.items()}  # type: ignore[misc]
        self.one_space = len(groups) == 1
        self.memories = {g.name: configs[g.name].memory for g in groups if configs[g.name].memory}

    def actor(self, group: str) -> Actor:
        """The actor of one type."""
        return cast(Actor, self.actors[group])

    def features(self, observation: dict[str, Tensor]) -> dict[str, Tensor]:
        """Each type by its own actor."""
        return {name: self.actor(name).features(observation[name]) for name in self.actors}

    def decide(self, features: dict[str, Tensor], observation: dict[str, Tensor]) -> dict[str, Distribution]:
        """Each type by its own actor."""
        return {name: self.actor(name).decide(features[name], observation[name]) for name in self.actors}

    def step(self, observation: dict[str, Tensor], states: States) -> tuple[dict[str, Distribution], States]:
        """Each type by its own actor; types without memory have no entry in ``states``."""
        features = {name: self.actor(name).features(observation[name], states.get(name)) for name in self.actors}
        return self.decide(features, observation), {name: features[name] for name in states}

    def update_normalizers(self, observation: dict[str, Tensor]) -> None:
        """Update every actor's running statistics with observations."""
        for name in self.actors:
            self.actor(name).normalizer.update(observation[name])

    def macs(self, group: str) -> int:
        """Multiply-accumulates of the type's actor."""
        return self.actor(group).macs


class SharedPolicy(TeamPolicy):
    """One actor for all types, which learn from each other's experience.

    A one-hot vector of the type is part of its input; an agent sees only its own observation. All types need the same
    observation terms and the same number of network outputs.

    Raises:
        KdmarlError: the types' observations or actions differ.
    """

    kinds: Tensor

    def __init__(self, groups: tuple[Group, ...], view: str, config: NetworkConfig) -> None:
        super().__init__(view)
        self.head_modules = nn.ModuleDict({g.name: Head(g.action, config, _mask(g, view)) for g in groups})
        self.heads = dict(self.head_modules.items())  # type: ignore[arg-type]
        outputs = self.heads[groups[0].name].outputs
        for group in groups:
            if group.observation[view] != groups[0].observation[view] or self.heads[group.name].outputs != outputs:
                raise KdmarlError(
                    f"expert.policy: shared needs equal observations and actions, those of '{group.name}' differ from "
                    f"'{groups[0].name}'; use decentralized"
                )
        size = observation_size(groups[0].observation[view])
        self.counts = {g.name: g.count for g in groups}
        self.normalizer = Normalizer(size)
        self.net = mlp([size + len(groups), *config.hidden, outputs], config.activation, 0.01)
        one_hot = torch.eye(len(groups)).repeat_interleave(torch.tensor(list(self.counts.values())), 0)
        self.register_buffer("kinds", one_hot, persistent=False)

    def features(self, observation: dict[str, Tensor]) -> dict[str, Tensor]:
        """All agents through one network."""
        seen = self.normalizer(torch.cat([observation[name] for name in self.counts], -2))
        hidden = self.net[:-1](torch.cat([seen, self.kinds.expand(*seen.shape[:-1], -1)], -1))
        return dict(zip(self.counts, hidden.split(list(self.counts.values()), -2), strict=True))

    def decide(self, features: dict[str, Tensor], observation: dict[str, Tensor]) -> dict[str, Distribution]:
        """One last layer, then each type's head."""
        return {
            name: self.heads[name].distribution(self.net[-1](features[name]), observation[name]) for name in self.counts
        }

    def update_normalizers(self, observation: dict[str, Tensor]) -> None:
        """Update the running statistics with all types' observations."""
        self.normalizer.update(torch.cat([observation[name] for name in self.counts], -2))

    def macs(self, group: str) -> int:
        """Multiply-accumulates of the actor, whatever the type."""
        return linear_macs(self.net)


class CentralizedPolicy(TeamPolicy):
    """Attention over all agents' observations: every agent's action depends on the whole team.

    Encoders and heads are per type, the attention block is shared (pre-norm transformer block, Vaswani et
    al., arXiv 1706.03762). Positions are not encoded: agents of one type are exchangeable.
    """

    def __init__(self, groups: tuple[Group, ...], view: str, config: NetworkConfig) -> None:
        super().__init__(view)
        width = config.hidden[-1]
        sizes = {g.name: observation_size(g.observation[view]) for g in groups}
        self.counts = {g.name: g.count for g in groups}
        self.normalizers = nn.ModuleDict({name: Normalizer(size) for name, size in sizes.items()})
        self.encoders = nn.ModuleDict(
            {name: mlp([size, *config.hidden], config.activation, math.sqrt(2)) for name, size in sizes.items()}
        )
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, ATTENTION_HEADS, batch_first=True)
        self.mix = mlp([width, width, width], config.activation, 1.0)
        self.head_modules = nn.ModuleDict({g.name: Head(g.action, config, _mask(g, view)) for g in groups})
        self.heads = dict(self.head_modules.items())  # type: ignore[arg-type]
        self.outputs = nn.ModuleDict(
            {name: mlp([width, head.outputs], config.activation, 0.01) for name, head in self.heads.items()}
        )

    def features(self, observation: dict[str, Tensor]) -> dict[str, Tensor]:
        """Encode every agent and let them attend to each other."""
        encoded = [self.encoders[name](self.normalizers[name](observation[name])) for name in self.counts]
        tokens = torch.cat(encoded, dim=-2)
        batch = tokens.shape[:-2]
        tokens = tokens.reshape(-1, *tokens.shape[-2:])
        queries = self.norm_1(tokens)
        tokens = tokens + self.attention(queries, queries, queries, need_weights=False)[0]
        tokens = tokens + self.mix(self.norm_2(tokens))
        parts = tokens.reshape(*batch, *tokens.shape[-2:]).split(list(self.counts.values()), dim=-2)
        return dict(zip(self.counts, parts, strict=True))

    def decide(self, features: dict[str, Tensor], observation: dict[str, Tensor]) -> dict[str, Distribution]:
        """Each type by its own last layer and head."""
        return {
            name: self.heads[name].distribution(self.outputs[name](features[name]), observation[name])
            for name in self.counts
        }

    def update_normalizers(self, observation: dict[str, Tensor]) -> None:
        """Update every type's running statistics with observations."""
        for name, normalizer in self.normalizers.items():
            normalizer.update(observation[name])  # type: ignore[operator]

    def macs(self, group: str) -> int:
        """An agent's decision needs every agent's encoding and one pass of attention for its own token."""
        agents, width = sum(self.counts.values()), self.norm_1.normalized_shape[0]
        encoders = sum(linear_macs(self.encoders[name]) * count for name, count in self.counts.items())
        attention = 2 * width * width * agents + 2 * width * width + 2 * width * agents
        return encoders + attention + linear_macs(self.mix) + linear_macs(self.outputs[group])


def make_policy(
    kind: str,
    groups: tuple[Group, ...],
    config: NetworkConfig,
    view: str = EXPERT,
    own: dict[str, NetworkConfig] | None = None,
) -> TeamPolicy:
    """A ``decentralized``, ``shared`` or ``centralized`` policy for a team with the observations of ``view``.

    ``own`` overrides ``config`` for single types (``decentralized`` only).
    """
    if kind == "centralized":
        return CentralizedPolicy(groups, view, config)
    if kind == "shared":
        return SharedPolicy(groups, view, config)
    return DecentralizedPolicy(groups, view, {group.name: (own or {}).get(group.name, config) for group in groups})


def _mask(group: Group, view: str) -> slice | None:
    return action_mask(group.observation[view], group.action)
