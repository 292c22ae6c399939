"""Networks of the expert: normalisation, per-type actors and critics, and the centralised policy.

Orthogonal initialisation and the small last layer follow Andrychowicz et al., "What Matters In On-Policy
Reinforcement Learning?" (arXiv 2006.05990); agent-specific central states follow Yu et al., "The
Surprising Effectiveness of PPO in Cooperative Multi-Agent Games" (arXiv 2103.01955).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal, cast

import msgspec
import torch
from torch import Tensor, nn

from kdmarl_core.contract import ActionSpace, DiffDrive, KdmarlError, action_mask, observation_size
from kdmarl_core.envs.base import EXPERT, BatchedEnv, Group
from kdmarl_core.expert.distributions import Categorical, Distribution, SquashedGaussian

ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU}
ATTENTION_HEADS = 4
"""of a centralized policy"""
UNAVAILABLE = -1e9
"""Logit of an action that may not be chosen: its probability is exactly 0, and entropy and divergence stay finite."""
Width = Annotated[int, msgspec.Meta(ge=1, le=4096)]
States = dict[str, Tensor]
"""Group → recurrent states (B, n, H), of the types that have memory"""


class NetworkConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Shape of a multilayer perceptron policy."""

    hidden: tuple[Width, ...] = (256, 256)
    activation: Literal["tanh", "relu"] = "tanh"
    log_std: float = -1.0
    """initial log standard deviation before squashing (continuous actions)"""
    state_dependent_std: bool = False
    memory: Annotated[int, msgspec.Meta(ge=0, le=4096)] = 0
    """width of a GRU cell after the hidden layers (students only); 0: none"""


class Normalizer(nn.Module):
    """Running mean and variance of a vector, clipped to ±10 standard deviations; part of the exported graph."""

    mean: Tensor
    var: Tensor
    count: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("var", torch.ones(size))
        self.register_buffer("count", torch.tensor(1e-4, dtype=torch.float64))

    @torch.no_grad()
    def update(self, x: Tensor) -> None:
        """Fold in a batch (..., size) (Chan et al.'s parallel variance)."""
        x = x.reshape(-1, x.shape[-1])
        mean, var, n = x.mean(0), x.var(0, unbiased=False), x.shape[0]
        total = self.count + n
        share = (n / total).float()
        delta = mean - self.mean
        self.var.copy_(self.var * (1 - share) + var * share + delta**2 * share * (1 - share))
        self.mean.add_(delta * share)
        self.count.copy_(total)

    def forward(self, x: Tensor) -> Tensor:
        """(..., size) → (..., size) with zero mean and unit variance."""
        return ((x - self.mean) * torch.rsqrt(self.var + 1e-6)).clamp(-10, 10)

    def inverse(self, x: Tensor) -> Tensor:
        """Undo :meth:`forward` (without the clipping)."""
        return x * torch.sqrt(self.var + 1e-6) + self.mean


def mlp(sizes: list[int], activation: str, last_gain: float) -> nn.Sequential:
    """Linear layers of ``sizes`` with activations between, orthogonally initialised."""
    layers: list[nn.Module] = []
    for index, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
        last = index == len(sizes) - 2
        linear = nn.Linear(fan_in, fan_out)
        nn.init.orthogonal_(linear.weight, last_gain if last else math.sqrt(2))
        nn.init.zeros_(linear.bias)
        layers += [linear] if last else [linear, ACTIVATIONS[activation]()]
    return nn.Sequential(*layers)


class Head(nn.Module):
    """Turns network outputs into a distribution, and its samples into commands.

    ``mask`` is where the observation says which actions are available; the others get no probability.
    """

    low: Tensor
    high: Tensor

    def __init__(self, action: ActionSpace, config: NetworkConfig, mask: slice | None = None) -> None:
        super().__init__()
        self.mask = mask
        self.continuous = isinstance(action, DiffDrive)
        self.state_dependent = self.continuous and config.state_dependent_std
        self.initial_log_std = config.log_std
        if isinstance(action, DiffDrive):
            self.outputs = action.size * (2 if self.state_dependent else 1)
            self.register_buffer("low", torch.from_numpy(action.low))
            self.register_buffer("high", torch.from_numpy(action.high))
            if not self.state_dependent:
                self.log_std = nn.Parameter(torch.full((action.size,), config.log_std))
        else:
            self.outputs = action.n

    def distribution(self, outputs: Tensor, observation: Tensor) -> Distribution:
        """(..., outputs) and the raw observation (..., O) they were made from → distribution."""
        if not self.continuous:
            if self.mask is not None:
                outputs = torch.where(observation[..., self.mask] > 0.5, outputs, UNAVAILABLE)
            return Categorical(outputs)
        if not self.state_dependent:
            return SquashedGaussian(outputs, self.log_std.clamp(-4, 1).expand_as(outputs))
        mean, spread = outputs.chunk(2, -1)
        return SquashedGaussian(mean, (spread + self.initial_log_std).clamp(-4, 1))

    def command(self, sample: Tensor) -> Tensor:
        """Samples (..., A) → commands in the action space's units (indices stay as they are)."""
        if not self.continuous:
            return sample
        return self.low + (torch.tanh(sample) + 1) * 0.5 * (self.high - self.low)


class Actor(nn.Module):
    """Decentralised policy of one type: normaliser, multilayer perceptron, head.

    With ``config.memory`` a gated recurrent unit (Cho et al., arXiv 1406.1078) stands before the last layer. What it
    gives is both the features of a moment and the state that the next moment begins with; all zero is no memory.
    """

    def __init__(self, observation: int, action: ActionSpace, config: NetworkConfig, mask: slice | None = None) -> None:
        super().__init__()
        self.normalizer = Normalizer(observation)
        self.head = Head(action, config, mask)
        self.net = mlp([observation, *config.hidden, self.head.outputs], config.activation, 0.01)
        self.memory = config.memory
        if self.memory:
            self.cell = nn.GRUCell(int(self.net[-1].in_features), self.memory)  # type: ignore[arg-type]
            self.net[-1] = mlp([self.memory, self.head.outputs], config.activation, 0.01)[0]

    def features(self, observation: Tensor, state: Tensor | None = None) -> Tensor:
        """(..., O) → what the last layer decides on, (..., F).

        With memory that is the next state, (..., H); ``state`` is the one before, None where an episode begins.
        """
        hidden: Tensor = self.net[:-1](self.normalizer(observation))
        return self._remember(hidden, state) if self.memory else hidden

    def sequence(self, observation: Tensor, state: Tensor, starts: Tensor) -> Tensor:
        """Features of T moments in a row, (T, B, n, F); without memory each stands for itself.

        Args:
            observation: (T, B, n, O).
            state: (B, n, H) before the first moment.
            starts: (T, B) bool, an episode begins: what was remembered until then is forgotten.
        """
        if not self.memory:
            return self.features(observation)
        features = []
        for hidden, begins in zip(self.net[:-1](self.normalizer(observation)), starts, strict=True):
            state = self._remember(hidden, state.masked_fill(begins[:, None, None], 0))
            features.append(state)
        return torch.stack(features)

    def _remember(self, hidden: Tensor, state: Tensor | None) -> Tensor:
        """(..., F), (..., H) → the next state, (..., H)."""
        rows = hidden.reshape(-1, hidden.shape[-1])  # a cell takes one leading dimension
        following: Tensor = self.cell(rows, None if state is None else state.reshape(-1, self.memory))
        return following.reshape(*hidden.shape[:-1], self.memory)

    def decide(self, features: Tensor, observation: Tensor) -> Distribution:
        """Last hidden layer and the observation it was made from → distribution over this type's actions."""
        return self.head.distribution(self.net[-1](features), observation)

    def forward(self, observation: Tensor) -> Distribution:
        """(..., O) → distribution over this type's actions."""
        return self.decide(self.features(observation), observation)

    def greedy(self, observation: Tensor, state: Tensor | None = None) -> Tensor:
        """(..., O) → the most probable command, (..., A) in the action space's units; ``state`` as in features."""
        return self.greedy_step(observation, state)[0]

    def greedy_step(self, observation: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """As :meth:`greedy`, and the features, which with memory are the next state, (..., H)."""
        features = self.features(observation, state)
        return self.head.command(self.decide(features, observation).mode()), features

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one forward pass (linear layers and recurrent cell)."""
        cell = self.cell.weight_ih.numel() + self.cell.weight_hh.numel() if self.memory else 0
        return cell + _linear_macs(self.net)


def observe(env: BatchedEnv, view: str) -> dict[str, Tensor]:
    """What a team policy is called with: group → (B, n, O) as ``view`` sees it now; shares the environment's memory."""
    return {name: torch.from_numpy(x) for name, x in env.observe(view).items()}


class TeamPolicy(nn.Module):
    """Base of team policies: observations of all groups in, distributions of all groups out."""

    heads: dict[str, Head]
    one_space: bool = True
    """whether the features of all types come from one network, so that they can be compared"""
    memories: Mapping[str, int] = MappingProxyType({})
    """widths of the recurrent states, of the types that have memory"""

    def __init__(self, view: str) -> None:
        super().__init__()
        self.view = view
        """what it sees through"""

    def features(self, observation: dict[str, Tensor]) -> dict[str, Tensor]:
        """Group → (..., n, O) to group → what the last layer decides on, (..., n, F)."""
        raise NotImplementedError

    def decide(self, features: dict[str, Tensor], observation: dict[str, Tensor]) -> dict[str, Distribution]:
        """Features of all groups, and what they were made from, to distributions over (..., n) agents."""
        raise NotImplementedError

    def forward(self, observation: dict[str, Tensor]) -> dict[str, Distribution]:
        """Group → (..., n, O) to group → distribution over (..., n) agents."""
        return self.decide(self.features(observation), observation)

    def step(self, observation: dict[str, Tensor], states: States) -> tuple[dict[str, Distribution], States]:
        """As :meth:`forward` for agents with memory: also their states before and after (without memory: empty)."""
        return self(observation), states

    def update_normalizers(self, observation: dict[str, Tensor]) -> None:
        """Fold observations into the running statistics."""
        raise NotImplementedError

    def macs(self, group: str) -> int:
        """Multiply-accumulates of one decision of one agent of ``group``."""
        raise NotImplementedError

    def command(self, samples: dict[str, Tensor]) -> dict[str, Tensor]:
        """Samples of each group → commands in the action space's units."""
        return {group: self.heads[group].command(sample) for group, sample in samples.items()}


class DecentralizedPolicy(TeamPolicy):
    """One actor for each type, each of its own size; an agent sees its own observation only."""

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
        """Fold observations into every actor's running statistics."""
        for name in self.actors:
            self.actor(name).normalizer.update(observation[name])

    def macs(self, group: str) -> int:
        """Multiply-accumulates of the type's actor."""
        return self.actor(group).macs


class SharedPolicy(TeamPolicy):
    """One actor for all types: what one type finds out serves the others too.

    It is told by a one-hot vector which type it acts for; an agent sees its own observation only. Every type
    needs the same observation terms and as many network outputs.

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
                    f"expert.policy: shared needs equal observations and actions, '{group.name}' has others than "
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
        """Fold all types' observations into the running statistics."""
        self.normalizer.update(torch.cat([observation[name] for name in self.counts], -2))

    def macs(self, group: str) -> int:
        """Multiply-accumulates of the actor, whatever the type."""
        return _linear_macs(self.net)


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
        """Fold observations into every type's running statistics."""
        for name, normalizer in self.normalizers.items():
            normalizer.update(observation[name])  # type: ignore[operator]

    def macs(self, group: str) -> int:
        """An agent's decision needs every agent's encoding and one pass of attention for its own token."""
        agents, width = sum(self.counts.values()), self.norm_1.normalized_shape[0]
        encoders = sum(_linear_macs(self.encoders[name]) * count for name, count in self.counts.items())
        attention = 2 * width * width * agents + 2 * width * width + 2 * width * agents
        return encoders + attention + _linear_macs(self.mix) + _linear_macs(self.outputs[group])


class Critic(nn.Module):
    """Central value of one type: own observation and central state in, normalised value out."""

    def __init__(self, inputs: int, config: NetworkConfig) -> None:
        super().__init__()
        self.normalizer = Normalizer(inputs)
        self.net = mlp([inputs, *config.hidden, 1], config.activation, 1.0)
        self.value_normalizer = Normalizer(1)

    def forward(self, inputs: Tensor) -> Tensor:
        """(..., inputs) → normalised value (...)."""
        return self.net(self.normalizer(inputs)).squeeze(-1)

    def value(self, inputs: Tensor) -> Tensor:
        """(..., inputs) → value in units of reward (...)."""
        return self.value_normalizer.inverse(self(inputs).unsqueeze(-1)).squeeze(-1)


def make_policy(
    kind: str,
    groups: tuple[Group, ...],
    config: NetworkConfig,
    view: str = EXPERT,
    own: dict[str, NetworkConfig] | None = None,
) -> TeamPolicy:
    """A ``decentralized``, ``shared`` or ``centralized`` policy for a team that sees through ``view``.

    ``own`` are the networks of types that do not get the one of ``config`` (``decentralized`` only).
    """
    if kind == "centralized":
        return CentralizedPolicy(groups, view, config)
    if kind == "shared":
        return SharedPolicy(groups, view, config)
    return DecentralizedPolicy(groups, view, {group.name: (own or {}).get(group.name, config) for group in groups})


def make_critics(env: BatchedEnv, config: NetworkConfig, view: str) -> nn.ModuleDict:
    """Group → :class:`Critic` on the observation of ``view`` and the central state."""
    return nn.ModuleDict(
        {g.name: Critic(observation_size(g.observation[view]) + env.state_sizes[g.name], config) for g in env.groups}
    )


def _mask(group: Group, view: str) -> slice | None:
    return action_mask(group.observation[view], group.action)


def _linear_macs(module: nn.Module) -> int:
    return sum(layer.weight.numel() for layer in module.modules() if isinstance(layer, nn.Linear))
