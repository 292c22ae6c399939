"""Models of any origin behind one call: vectors of observations in, commands or values of actions out."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn

from kdmarl_core.contract import KdmarlError
from kdmarl_core.expert.networks import linear_macs

UNCOUNTED = (nn.modules.conv._ConvNd, nn.RNNBase, nn.RNNCellBase, nn.MultiheadAttention, nn.Bilinear)
"""Layers whose multiply-accumulates are not those of linear layers."""


class Answer(NamedTuple):
    """What a model says of M observations."""

    values: Tensor
    """(M, W): commands, numbers of actions, or a value of each action"""
    std: Tensor | None = None
    """(M, W) standard deviations of commands; None where it gives commands alone"""

    def map(self, function: Callable[[Tensor], Tensor]) -> Answer:
        """Answers whose tensors are ``function`` of these."""
        return Answer(function(self.values), None if self.std is None else function(self.std))


class Model(Protocol):
    """Observations in, answers out."""

    inputs: int | None
    """length of one observation; None where that is not known"""
    macs: int | None
    """multiply-accumulates of one observation; None where that is not known"""

    def __call__(self, observation: Tensor) -> Answer:
        """(M, I) float32 → answers on M observations."""


def as_model(made: Any) -> Model | None:
    """What was brought as a model; None if it is a function and nothing else.

    By what it can do: ``policy.get_distribution`` and ``predict`` (as models of Stable-Baselines3 have), or the call of
    a ``torch.nn.Module``.

    Raises:
        KdmarlError: it has memory, or is nothing that can be asked.
    """
    policy = getattr(made, "policy", made)
    if hasattr(policy, "lstm_actor"):
        raise KdmarlError("has memory, and an expert decides by its present observation; give one without")
    if callable(getattr(policy, "get_distribution", None)) and not getattr(policy, "squash_output", False):
        return _ActorCritic(policy)
    if callable(getattr(made, "predict", None)) and hasattr(made, "observation_space"):
        return _Predicting(made)
    if isinstance(made, nn.Module):
        return _Network(made)
    if callable(made):
        return None
    raise KdmarlError(
        f"is a {type(made).__name__}, and cannot be asked for actions; give a torch.nn.Module, a model of "
        "Stable-Baselines3, or what is called with observations"
    )


class Rows:
    """A function of one type: numpy (M, O) in, (M, A) out."""

    inputs: int | None = None
    macs: int | None = None

    def __init__(self, function: Callable[[np.ndarray], Any]) -> None:
        self._function = function

    def __call__(self, observation: Tensor) -> Answer:
        """See :class:`Model`."""
        return Answer(tensor(self._function(observation.numpy())))


class _Network:
    """A torch module that gives commands, values of actions, or a distribution of ``torch.distributions``."""

    inputs: int | None = None

    def __init__(self, module: nn.Module) -> None:
        self._module = module.eval()
        counted = not any(isinstance(layer, UNCOUNTED) for layer in module.modules())
        self.macs = linear_macs(module) or None if counted else None
        self._device = next((parameter.device for parameter in module.parameters()), torch.device("cpu"))

    @torch.no_grad()
    def __call__(self, observation: Tensor) -> Answer:
        """See :class:`Model`."""
        given = self._module(observation.to(self._device))
        return Answer(tensor(given)) if isinstance(given, Tensor) else told(given)


class _ActorCritic:
    """A policy that gives its distribution, as those of Stable-Baselines3's on-policy algorithms do."""

    def __init__(self, policy: Any) -> None:
        self._policy = policy
        if isinstance(policy, nn.Module):
            policy.eval()
        self.inputs = _size(policy)
        parts = [getattr(getattr(policy, "mlp_extractor", None), "policy_net", None), getattr(policy, "action_net", 0)]
        known = [part for part in parts if isinstance(part, nn.Module)]
        self.macs = sum(map(linear_macs, known)) or None if len(known) == 2 else None

    @torch.no_grad()
    def __call__(self, observation: Tensor) -> Answer:
        """See :class:`Model`."""
        given = self._policy.get_distribution(observation.to(getattr(self._policy, "device", "cpu")))
        return told(getattr(given, "distribution", given))


class _Predicting:
    """A model that gives its greedy actions, as all of Stable-Baselines3 do."""

    macs: int | None = None

    def __init__(self, model: Any) -> None:
        self._model = model
        self.inputs = _size(model)

    def __call__(self, observation: Tensor) -> Answer:
        """See :class:`Model`."""
        return Answer(tensor(self._model.predict(observation.numpy(), deterministic=True)[0]))


def told(distribution: Any) -> Answer:
    """A distribution of ``torch.distributions``, or a list of categorical ones of an agent each.

    Raises:
        KdmarlError: it is none.
    """
    if isinstance(distribution, list) and all(hasattr(each, "logits") for each in distribution):
        return Answer(torch.cat([tensor(each.logits) for each in distribution], -1))
    if hasattr(distribution, "logits"):
        return Answer(tensor(distribution.logits))
    if hasattr(distribution, "mean") and hasattr(distribution, "stddev"):
        return Answer(tensor(distribution.mean), tensor(distribution.stddev))
    raise KdmarlError(
        f"gives a {type(distribution).__name__}; give a tensor of commands or of a value for each action, or a "
        "distribution of torch.distributions"
    )


def tensor(given: Any) -> Tensor:
    """Numbers on the CPU, with two dimensions or more.

    Raises:
        KdmarlError: they are none.
    """
    if isinstance(given, Tensor):
        found = given.detach().cpu()
    else:
        array = np.asarray(given)
        if array.dtype.kind not in "biuf":
            raise KdmarlError(f"gives a {type(given).__name__}; give an array of numbers")
        found = torch.from_numpy(np.array(array))
    found = found if found.is_floating_point() else found.long()
    return found.unsqueeze(-1) if found.ndim == 1 else found


def _size(made: Any) -> int | None:
    """Length of the observations that a model declares."""
    shape = getattr(getattr(made, "observation_space", None), "shape", None)
    return math.prod(cast(tuple[int, ...], shape)) if shape else None
