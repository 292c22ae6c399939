"""Networks of one type: normalisation, actor and critic, and their layers.

Orthogonal initialisation and the small last layer follow Andrychowicz et al., "What Matters In On-Policy
Reinforcement Learning?" (arXiv 2006.05990); agent-specific central states follow Yu et al., "The
Surprising Effectiveness of PPO in Cooperative Multi-Agent Games" (arXiv 2103.01955).
"""

from __future__ import annotations

import itertools
import math
from typing import Annotated, Literal

import msgspec
import torch
from torch import Tensor, nn

from kdmarl_core.contract import ActionSpace, Continuous, observation_size
from kdmarl_core.envs.base import BatchedEnv
from kdmarl_core.expert.distributions import Categorical, Distribution, SquashedGaussian

ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU}
UNAVAILABLE = -1e9
"""Logit of an action that may not be chosen: its probability is exactly 0, and entropy and divergence stay finite."""
Activation = Literal["tanh", "relu"]
Width = Annotated[int, msgspec.Meta(ge=1, le=4096)]


class NetworkConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Architecture of a multilayer perceptron policy."""

    hidden: tuple[Width, ...] = (256, 256)
    activation: Activation = "tanh"
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
        """Update with a batch (..., size) (Chan et al.'s parallel variance)."""
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

    ``mask`` is the slice of the observation that says which actions are available; the others get probability 0.
    """

    low: Tensor
    high: Tensor

    def __init__(self, action: ActionSpace, config: NetworkConfig, mask: slice | None = None) -> None:
        super().__init__()
        self.mask = mask
        self.continuous = isinstance(action, Continuous)
        self.state_dependent = self.continuous and config.state_dependent_std
        self.initial_log_std = config.log_std
        if isinstance(action, Continuous):
            self.outputs = action.size * (2 if self.state_dependent else 1)
            self.register_buffer("low", torch.from_numpy(action.low))
            self.register_buffer("high", torch.from_numpy(action.high))
            if not self.state_dependent:
                self.log_std = nn.Parameter(torch.full((action.size,), config.log_std))
        else:
            self.outputs = action.n

    def distribution(self, outputs: Tensor, observation: Tensor) -> Distribution:
        """(..., outputs) and the raw observation (..., O) they were computed from → distribution."""
        if not self.continuous:
            if self.mask is not None:
                outputs = torch.where(observation[..., self.mask] > 0.5, outputs, UNAVAILABLE)
            return Categorical(outputs)
        if not self.state_dependent:
            return SquashedGaussian(outputs, self.log_std.clamp(-4, 1).expand_as(outputs))
        mean, spread = outputs.chunk(2, -1)
        return SquashedGaussian(mean, (spread + self.initial_log_std).clamp(-4, 1))

    def command(self, sample: Tensor) -> Tensor:
        """Samples (..., A) → commands in the action space's units (indices are returned unchanged)."""
        if not self.continuous:
            return sample
        return self.low + (torch.tanh(sample) + 1) * 0.5 * (self.high - self.low)


class Actor(nn.Module):
    """Decentralised policy of one type: normaliser, multilayer perceptron, head.

    With ``config.memory`` a gated recurrent unit (Cho et al., arXiv 1406.1078) precedes the last layer. Its output is
    both the features of a step and the state before the next step; the initial state is zero.
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
        """(..., O) → inputs of the last layer, (..., F).

        With memory these are the next state, (..., H); ``state`` is the previous one, None at the start of an episode.
        """
        hidden: Tensor = self.net[:-1](self.normalizer(observation))
        return self._remember(hidden, state) if self.memory else hidden

    def sequence(self, observation: Tensor, state: Tensor, starts: Tensor) -> Tensor:
        """Features of T consecutive steps, (T, B, n, F); without memory the steps are independent.

        Args:
            observation: (T, B, n, O).
            state: (B, n, H) before the first step.
            starts: (T, B) bool, an episode begins: the state is reset.
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
        """Features and the observation they were computed from → distribution over this type's actions."""
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
        return cell + linear_macs(self.net)


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


def make_critics(env: BatchedEnv, config: NetworkConfig, view: str) -> nn.ModuleDict:
    """Group → :class:`Critic` on the observation of ``view`` and the central state."""
    return nn.ModuleDict(
        {g.name: Critic(observation_size(g.observation[view]) + env.state_sizes[g.name], config) for g in env.groups}
    )


def linear_macs(module: nn.Module) -> int:
    """Multiply-accumulates of one pass through every linear layer of ``module``."""
    return sum(layer.weight.numel() for layer in module.modules() if isinstance(layer, nn.Linear))
