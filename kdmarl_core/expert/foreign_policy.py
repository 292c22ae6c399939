"""An expert that kdmarl did not train, as a team policy: its outputs become a distribution for each agent."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from kdmarl_core.contract import Continuous, Discrete, KdmarlError, action_mask, observation_size
from kdmarl_core.envs.base import Group
from kdmarl_core.errors import did_you_mean, reason, with_article
from kdmarl_core.expert.distributions import Categorical, Distribution, SquashedGaussian, apply
from kdmarl_core.expert.foreign_models import Answer, Model, remedy_for, tensor
from kdmarl_core.expert.networks import UNAVAILABLE, Head, NetworkConfig
from kdmarl_core.expert.policies import TeamPolicy

LIMIT = 0.995
"""Commands are clipped to this share of the limits: the limit itself lies at infinity before squashing."""
SMALLEST = 1e-8
"""Lower bound of a probability that is turned into a logit."""
T = TypeVar("T")
Ask = Callable[[dict[str, Tensor]], dict[str, Answer]]
"""Group → (B, n, O) to group → answers on B · n agents, (B, n, W)."""


class ForeignExpert(TeamPolicy):
    """See :class:`TeamPolicy`; it has no features, and is not trained.

    A distribution of the model is used as it is. Otherwise a narrow one is built around its command: a Gaussian with
    the command as its mode, or probability ``1 - spread`` for the action and the rest for the others. Commands are
    clipped to the limits. An action mask in the observation applies to action scores as in kdmarl's own policies.

    Args:
        groups: the team's groups.
        view: which observations it receives.
        ask: the model.
        name: prefix of error messages.
        spread: standard deviation around a command as a share of its range, or probability of all other actions.
        macs: group → multiply-accumulates of one decision, or None.
        critics: group → critic, if it has its own.
    """

    has_features = False

    def __init__(
        self,
        groups: tuple[Group, ...],
        view: str,
        ask: Ask,
        name: str,
        spread: float,
        macs: Mapping[str, int | None],
        critics: nn.ModuleDict | None = None,
    ) -> None:
        super().__init__(view)
        self.name, self.spread, self.critics = name, spread, critics
        self._groups, self._ask, self._macs = groups, ask, dict(macs)
        masks = {g.name: action_mask(g.observation[view], g.action) for g in groups}
        self.heads = {g.name: Head(g.action, NetworkConfig(), masks[g.name]) for g in groups}

    def forward(self, observation: dict[str, Tensor]) -> dict[str, Distribution]:
        """Group → (..., n, O) to group → distribution over (..., n) agents.

        Raises:
            KdmarlError: the model fails, or its output is not finite or does not fit the agents' actions.
        """
        lead = next(iter(observation.values())).shape[:-2]
        rows = {group.name: observation[group.name].flatten(0, -3) for group in self._groups}
        try:
            answers = self._ask(rows)
            return {
                group.name: apply(
                    lambda x: x.unflatten(0, lead), self._distribution(group, answers[group.name], rows[group.name])
                )
                for group in self._groups
            }
        except KdmarlError as error:
            raise KdmarlError(f"{self.name}: {error}") from error.__cause__

    def macs(self, group: str) -> int | None:
        """Multiply-accumulates of one decision of one agent (one run of a joint model); None if unknown."""
        return self._macs[group]

    def _distribution(self, group: Group, answer: Answer, observation: Tensor) -> Distribution:
        """Answers on (B, n) agents as a distribution."""
        values, std = answer
        if not values.isfinite().all() or (std is not None and not std.isfinite().all()):
            number = values[~values.isfinite()][:1].tolist() or ["nan"]
            raise KdmarlError(f"gives {number[0]} for '{group.name}'; give an expert whose outputs are finite")
        if isinstance(group.action, Continuous):
            if values.shape[-1] != group.action.size:
                raise KdmarlError(_unfit(group, values.shape[-1], f"its command has {group.action.size}"))
            return self._gaussian(group.name, values.float(), std)
        if values.shape[-1] == group.action.n and values.is_floating_point():
            return Categorical(self._masked(group.name, _logits(values.float()), observation))
        if values.shape[-1] == 1:
            return self._chosen(group.name, values, group.action, observation)
        raise KdmarlError(
            _unfit(group, values.shape[-1], f"it has {group.action.n} actions: give an index, or a score for each")
        )

    def _gaussian(self, name: str, command: Tensor, std: Tensor | None) -> SquashedGaussian:
        head = self.heads[name]
        unit = (2 * (command - head.low) / (head.high - head.low) - 1).clamp(-LIMIT, LIMIT)
        mean = torch.atanh(unit)
        if std is None:
            return SquashedGaussian(mean, torch.full_like(mean, math.log(2 * self.spread)))
        # Standard deviation before squashing: at the mean, squashing narrows it by 1 − unit².
        before = 2 * std.float() / (head.high - head.low) / (1 - unit**2)
        return SquashedGaussian(mean, before.clamp(min=SMALLEST).log().clamp(-4, 1))

    def _chosen(self, name: str, values: Tensor, action: Discrete, observation: Tensor) -> Categorical:
        """A narrow distribution around action indices, (B, n, 1)."""
        number = values.round().long()
        wrong = (number != values) | (number < 0) | (number >= action.n)
        if wrong.any():
            raise KdmarlError(
                f"chooses action {values[wrong][0].item():g} of '{name}'; its actions are 0 to {action.n - 1}"
            )
        open_ = self._masked(name, torch.zeros(*values.shape[:-1], action.n), observation)
        closed = open_.gather(-1, number) < 0
        if closed.any():
            raise KdmarlError(
                f"chooses action {number[closed][0].item()} of '{name}', which its action mask forbids; choose "
                "available actions"
            )
        others = ((open_ == 0).sum(-1, keepdim=True) - 1).clamp(min=1)
        logit = torch.log(others * (1 - self.spread) / self.spread)
        return Categorical(open_.scatter(-1, number, logit))

    def _masked(self, name: str, logits: Tensor, observation: Tensor) -> Tensor:
        mask = self.heads[name].mask
        return logits if mask is None else torch.where(observation[..., mask] > 0.5, logits, UNAVAILABLE)


class EachAgent:
    """An :data:`Ask` for one model per type, each of which sees one agent's observation.

    Raises:
        KdmarlError: a model takes observations of another length.
    """

    def __init__(self, models: Mapping[str, Model], groups: tuple[Group, ...], view: str) -> None:
        self.models = models
        team = sum(observation_size(g.observation[view]) * g.count for g in groups)
        for group in groups:
            taken, seen = models[group.name].inputs, observation_size(group.observation[view])
            if taken not in (None, seen):
                remedy = "set expert.joint: true" if taken == team else "give it the observation that it was made for"
                what = " (as many as the whole team observes)" if taken == team else ""
                raise KdmarlError(
                    f"takes {taken} values{what}, but '{group.name}' observes {seen} in the {view} view (expert.view); "
                    f"{remedy}"
                )

    def __call__(self, observation: dict[str, Tensor]) -> dict[str, Answer]:
        """See :data:`Ask`."""
        answers = {}
        for name, seen in observation.items():
            envs, agents, _ = seen.shape
            answer = _asked(self.models[name], seen.flatten(0, 1), f"observations {list(seen.shape)} of '{name}'")
            if len(answer.values) != envs * agents:
                raise KdmarlError(
                    f"gives {list(answer.values.shape)} for {envs * agents} observations of '{name}'; give one row for "
                    "each"
                )
            answers[name] = answer.map(lambda x, shape=(envs, agents, -1): x.reshape(shape))  # type: ignore[misc]
        return answers


class WholeTeam:
    """An :data:`Ask` for a joint model: all agents' observations concatenated in, all their actions out.

    Raises:
        KdmarlError: it takes observations of another length.
    """

    def __init__(self, model: Model, groups: tuple[Group, ...], view: str) -> None:
        self.model, self._groups = model, groups
        sizes = {g.name: observation_size(g.observation[view]) for g in groups}
        team = sum(sizes[g.name] * g.count for g in groups)
        if model.inputs not in (None, team):
            parts = ", ".join(f"{g.count} times {sizes[g.name]} of '{g.name}'" for g in groups)
            raise KdmarlError(
                f"takes {model.inputs} values, but the team observes {team} in the {view} view (expert.view): {parts}; "
                "give it the observations that it was made for, or remove expert.joint"
            )
        numbered = [g.action.size for g in groups]
        valued = [g.action.n if isinstance(g.action, Discrete) else g.action.size for g in groups]
        self._per_agent = [valued, numbered]

    def __call__(self, observation: dict[str, Tensor]) -> dict[str, Answer]:
        """See :data:`Ask`."""
        seen = torch.cat([observation[group.name].flatten(1) for group in self._groups], -1)
        answer = _asked(self.model, seen, f"observations {list(seen.shape)} of the team")
        answer = answer.map(lambda x: x.reshape(len(seen), -1))
        for per_agent in self._per_agent:
            if (
                sum(width * g.count for width, g in zip(per_agent, self._groups, strict=True))
                == answer.values.shape[-1]
            ):
                return self._split(answer, per_agent)
        shown = ", ".join(
            f"{group.count} times {' or '.join(map(str, dict.fromkeys(sizes)))} for '{group.name}'"
            for group, *sizes in zip(self._groups, *self._per_agent, strict=True)
        )
        raise KdmarlError(f"gives {answer.values.shape[-1]} values for the whole team, but its actions are {shown}")

    def _split(self, answer: Answer, per_agent: list[int]) -> dict[str, Answer]:
        """Split concatenated answers (B, W) into those of each type, (B, n, w)."""
        answers, start = {}, 0
        for width, group in zip(per_agent, self._groups, strict=True):
            place, shape = slice(start, start := start + width * group.count), (group.count, width)
            answers[group.name] = answer.map(lambda x, p=place, s=shape: x[:, p].unflatten(-1, s))  # type: ignore[misc]
        return answers


class Controller:
    """An :data:`Ask` for a function: group → observations (B, n, O) numpy in, group → commands (B, n, A) out."""

    def __init__(
        self, function: Callable[[dict[str, np.ndarray]], Mapping[str, np.ndarray]], groups: tuple[Group, ...]
    ) -> None:
        self._function, self._groups = function, groups

    def __call__(self, observation: dict[str, Tensor]) -> dict[str, Answer]:
        """See :data:`Ask`."""
        shapes = ", ".join(f"'{name}' {list(seen.shape)}" for name, seen in observation.items())
        given = _asked(
            self._function, {name: _read_only(seen) for name, seen in observation.items()}, f"observations {shapes}"
        )
        if not isinstance(given, Mapping):
            remedy = remedy_for(self._function, "give a dict of group → commands (B, n, A)")
            raise KdmarlError(f"gives {with_article(type(given).__name__)}; {remedy}")
        answers = {}
        for group in self._groups:
            if group.name not in given:
                known = f", only {', '.join(map(str, given))}" if given else ""
                remedy = did_you_mean(group.name, map(str, given))
                raise KdmarlError(
                    f"gives no commands for '{group.name}'{known}; "
                    f"{remedy if remedy.endswith('?') else 'give those of every type'}"
                )
            commands, (envs, agents) = tensor(given[group.name]), observation[group.name].shape[:2]
            commands = commands.unsqueeze(-1) if commands.shape == (envs, agents) else commands
            if commands.ndim != 3 or commands.shape[:2] != (envs, agents):
                width = group.action.size
                raise KdmarlError(
                    f"gives {list(commands.shape)} for '{group.name}'; give commands {[envs, agents, width]}"
                )
            answers[group.name] = Answer(commands)
        return answers


def _asked(function: Callable[..., T], observation: object, what: str) -> T:
    """Call user code; whatever it raises becomes one sentence."""
    try:
        return function(observation)
    except KdmarlError:
        raise
    except Exception as error:
        raise KdmarlError(f"fails on {what} ({reason(error)}); {remedy_for(function, 'fix it')}") from error


def _read_only(seen: Tensor) -> np.ndarray:
    """A read-only view of the observation."""
    array = seen.numpy().view()
    array.flags.writeable = False
    return array


def _logits(values: Tensor) -> Tensor:
    """The values as logits: probabilities are replaced by their logarithms."""
    probabilities = (values >= 0).all() and ((values.sum(-1) - 1).abs() < 1e-3).all()
    return values.clamp(min=SMALLEST).log() if probabilities else values


def _unfit(group: Group, found: int, wanted: str) -> str:
    return f"gives {found} value{'s' * (found != 1)} for an agent of '{group.name}', but {wanted}"
