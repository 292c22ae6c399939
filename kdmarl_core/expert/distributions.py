"""Action distributions: tanh-squashed Gaussian and categorical, with the divergence that distillation needs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from kdmarl_core.contract import KdmarlError

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


class SquashedGaussian(NamedTuple):
    """Gaussian over ``z``; the command is ``tanh(z)`` scaled to the action limits.

    Probabilities are of ``z``: the squashing is the same for every policy over the same samples, so it
    drops out of likelihood ratios and divergences.
    """

    mean: Tensor
    """(..., A)"""
    log_std: Tensor
    """(..., A)"""

    def sample(self) -> Tensor:
        """Draw ``z``, (..., A)."""
        return self.mean + self.log_std.exp() * torch.randn_like(self.mean)

    def mode(self) -> Tensor:
        """The greedy ``z``, (..., A)."""
        return self.mean

    def log_prob(self, z: Tensor) -> Tensor:
        """Log density of ``z``, (...)."""
        scaled = (z - self.mean) * torch.exp(-self.log_std)
        return (-0.5 * scaled**2 - self.log_std - HALF_LOG_2PI).sum(-1)

    def entropy(self) -> Tensor:
        """Entropy of ``z``, (...) [nat]."""
        return (self.log_std + 0.5 + HALF_LOG_2PI).sum(-1)

    def kl_to(self, other: SquashedGaussian, temperature: float = 1.0) -> Tensor:
        """KL(self ‖ other) in closed form, (...) [nat]; ``temperature`` widens both by its square root."""
        ratio = torch.exp(2 * (self.log_std - other.log_std))
        apart = ((self.mean - other.mean) * torch.exp(-other.log_std)) ** 2 / temperature
        return (0.5 * (ratio + apart - 1) + other.log_std - self.log_std).sum(-1)


class Categorical(NamedTuple):
    """Distribution over ``n`` actions; samples are indices in the last axis of length 1."""

    logits: Tensor
    """(..., n)"""

    def sample(self) -> Tensor:
        """Draw an index, (..., 1).

        Raises:
            KdmarlError: a logit is NaN: the network has diverged.
        """
        flat = self.logits.softmax(-1).flatten(0, -2)
        if flat.isnan().any():
            raise KdmarlError("a probability is nan; lower the learning rate and train or distill again")
        return torch.multinomial(flat, 1).reshape(*self.logits.shape[:-1], 1)

    def mode(self) -> Tensor:
        """The most probable index, (..., 1)."""
        return self.logits.argmax(-1, keepdim=True)

    def log_prob(self, index: Tensor) -> Tensor:
        """Log probability of an index, (...)."""
        return self.logits.log_softmax(-1).gather(-1, index.long()).squeeze(-1)

    def entropy(self) -> Tensor:
        """Entropy, (...) [nat]."""
        log_p = self.logits.log_softmax(-1)
        return -(log_p.exp() * log_p).sum(-1)

    def kl_to(self, other: Categorical, temperature: float = 1.0) -> Tensor:
        """KL(self ‖ other) of the distributions softened by ``temperature``, (...) [nat]."""
        log_p = (self.logits / temperature).log_softmax(-1)
        log_q = (other.logits / temperature).log_softmax(-1)
        return (log_p.exp() * (log_p - log_q)).sum(-1)


Distribution = SquashedGaussian | Categorical


def apply(function: Callable[..., Tensor], *distributions: Distribution) -> Distribution:
    """Apply ``function`` to each parameter of ``distributions``, all of the same kind; returns a new distribution."""
    return type(distributions[0])(*map(function, *distributions))
