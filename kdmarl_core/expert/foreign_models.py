"""Models of any origin behind one interface: observation vectors in, commands or action scores out."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn

from kdmarl_core.contract import KdmarlError
from kdmarl_core.errors import with_article
from kdmarl_core.expert.networks import linear_macs

UNCOUNTED = (nn.modules.conv._ConvNd, nn.RNNBase, nn.RNNCellBase, nn.MultiheadAttention, nn.Bilinear)
"""Layers whose multiply-accumulates are not those of linear layers."""


class Answer(NamedTuple):
    """A model's output for M observations."""

    values: Tensor
    """(M, W): commands, action indices, or a score for each action"""
    std: Tensor | None = None
    """(M, W) standard deviations of commands; None if the model gives only commands"""

    def map(self, function: Callable[[Tensor], Tensor]) -> Answer:
        """Apply ``function`` to the tensors."""
        return Answer(function(self.values), None if self.std is None else function(self.std))


class Model(Protocol):
    """Observations in, answers out."""

    inputs: int | None
    """length of one observation; None if unknown"""
    macs: int | None
    """multiply-accumulates of one observation; None if unknown"""

    def __call__(self, observation: Tensor) -> Answer:
        """(M, I) float32 → answers on M observations."""


def as_model(made: Any) -> Model | None:
    """Wrap an object as a model; None if it is just a function.

    Recognised by its methods: ``policy.get_distribution`` and ``predict`` (as Stable-Baselines3 models have), or as a
    ``torch.nn.Module``.

    Raises:
        KdmarlError: it is recurrent, or not callable.
    """
    policy = getattr(made, "policy", made)
    if hasattr(policy, "lstm_actor"):
        raise KdmarlError("has memory, but an expert sees the current observation only; give one without")
    if callable(getattr(policy, "get_distribution", None)) and not getattr(policy, "squash_output", False):
        return _ActorCritic(policy)
    if callable(getattr(made, "predict", None)) and hasattr(made, "observation_space"):
        return _Predicting(made)
    if isinstance(made, nn.Module):
        return _Network(made)
    if callable(made):
        return None
    raise KdmarlError(
        f"is {with_article(type(made).__name__)}, which gives no actions; give a torch.nn.Module, a Stable-Baselines3 "
        "model, or a function of observations"
    )


class OneMissing(functools.partial[Any]):
    """A named function that lacks one argument, which is taken to be the observations."""

    missing = ""
    """name of its parameter"""


class ArrayFunction:
    """A function for one type: numpy (M, O) in, (M, A) out."""

    inputs: int | None = None
    macs: int | None = None

    def __init__(self, function: Callable[[np.ndarray], Any]) -> None:
        self.function = function

    def __call__(self, observation: Tensor) -> Answer:
        """See :class:`Model`."""
        return Answer(tensor(self.function(observation.numpy())))


def remedy_for(function: object, remedy: str) -> str:
    """``remedy`` for a function that fails; if it perhaps should have been called for the expert, that too."""
    function = function.function if isinstance(function, ArrayFunction) else function
    if not isinstance(function, OneMissing) or function.missing.startswith("obs"):
        return remedy
    return f"{remedy}, or if its '{function.missing}' is not for observations, set expert.arguments.{function.missing}"


class _Network:
    """A torch module that returns commands, action scores, or a ``torch.distributions`` object."""

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
        return Answer(tensor(given)) if isinstance(given, Tensor) else from_distribution(given)


class _ActorCritic:
    """A policy with a distribution, as in Stable-Baselines3's on-policy algorithms."""

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
        return from_distribution(getattr(given, "distribution", given))


class _Predicting:
    """A model that predicts greedy actions, as all Stable-Baselines3 models do."""

    macs: int | None = None

    def __init__(self, model: Any) -> None:
        self._model = model
        self.inputs = _size(model)

    def __call__(self, observation: Tensor) -> Answer:
        """See :class:`Model`."""
        return Answer(tensor(self._model.predict(observation.numpy(), deterministic=True)[0]))


def from_distribution(distribution: Any) -> Answer:
    """The answer for a ``torch.distributions`` object, or for a list of categorical ones, one per agent.

    Raises:
        KdmarlError: it is something else.
    """
    if isinstance(distribution, list) and all(hasattr(each, "logits") for each in distribution):
        return Answer(torch.cat([tensor(each.logits) for each in distribution], -1))
    if hasattr(distribution, "logits"):
        return Answer(tensor(distribution.logits))
    if hasattr(distribution, "mean") and hasattr(distribution, "stddev"):
        return Answer(tensor(distribution.mean), tensor(distribution.stddev))
    raise KdmarlError(
        f"gives {with_article(type(distribution).__name__)}; give a tensor of commands or of a value for each action, "
        "or a distribution of torch.distributions"
    )


def tensor(given: Any) -> Tensor:
    """A tensor on the CPU with two dimensions or more.

    Raises:
        KdmarlError: the values are not numbers.
    """
    if isinstance(given, Tensor):
        found = given.detach().cpu()
    else:
        array = np.asarray(given)
        if array.dtype.kind not in "biuf":
            raise KdmarlError(f"gives {with_article(type(given).__name__)}; give an array of numbers")
        found = torch.from_numpy(np.array(array))
    found = found if found.is_floating_point() else found.long()
    return found.unsqueeze(-1) if found.ndim == 1 else found


def _size(made: Any) -> int | None:
    """Length of the observations that a model declares."""
    shape = getattr(getattr(made, "observation_space", None), "shape", None)
    return math.prod(cast(tuple[int, ...], shape)) if shape else None
