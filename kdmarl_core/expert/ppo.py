"""Proximal policy optimisation for teams (MAPPO): rollouts, advantages and the update.

Schulman et al., "Proximal Policy Optimization Algorithms" (arXiv 1707.06347); Yu et al. (arXiv 2103.01955)
for the multi-agent form; Schulman et al. (arXiv 1506.02438) for generalised advantages; time-outs are
bootstrapped as in Pardo et al., "Time Limits in Reinforcement Learning" (arXiv 1712.00378).
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple, cast

import msgspec
import torch
from torch import Tensor, nn

from kdmarl_core.contract import KdmarlError
from kdmarl_core.contract.bounds import NonNegative, Positive
from kdmarl_core.envs.base import BatchedEnv
from kdmarl_core.envs.ownership import Kept
from kdmarl_core.expert.memory import Memory
from kdmarl_core.expert.networks import Critic
from kdmarl_core.expert.policies import TeamPolicy, observe

Count = Annotated[int, msgspec.Meta(ge=1)]
Unit = Annotated[float, msgspec.Meta(ge=0, le=1)]


class PPOConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Hyperparameters of one update."""

    learning_rate: Positive = 1e-3
    final_learning_rate: NonNegative = 0.1
    """share of the learning rate that is left at the end of its linear decay"""
    gamma: Unit = 0.99
    gae_lambda: Unit = 0.95
    clip: Positive = 0.2
    epochs: Count = 5
    minibatches: Count = 8
    entropy: NonNegative = 0.0
    max_grad_norm: Positive = 1.0
    kl_stop: Positive = 0.02
    """mean KL divergence from the rollout policy that ends an update early [nat]"""


class Batch(NamedTuple):
    """A rollout of T steps; dictionaries are by group, agents on the third axis."""

    observation: dict[str, Tensor]
    """(T, B, n, O)"""
    state: dict[str, Tensor]
    """critic inputs, (T, B, n, O + S)"""
    sample: dict[str, Tensor]
    """(T, B, n, A) as drawn from the distribution"""
    log_prob: dict[str, Tensor]
    """(T, B, n)"""
    value: dict[str, Tensor]
    """(T, B, n) in units of reward"""
    next_value: dict[str, Tensor]
    """(T, B, n) of the state after the step, before any reset"""
    reward: dict[str, Tensor]
    """(T, B, n)"""
    terminated: Tensor
    """(T, B) bool"""
    ended: Tensor
    """(T, B) bool: terminated or truncated"""


def gae(
    reward: Tensor, value: Tensor, next_value: Tensor, terminated: Tensor, ended: Tensor, gamma: float, lam: float
) -> Tensor:
    """Generalised advantage estimates.

    Args:
        reward: (T, B, n).
        value: (T, B, n) of the states acted in.
        next_value: (T, B, n) of the states that followed, before any reset.
        terminated: (T, B) no future after this step.
        ended: (T, B) the next row belongs to another episode.
        gamma: discount.
        lam: the estimator's lambda.

    Returns:
        (T, B, n) advantages.
    """
    advantage = torch.zeros_like(reward)
    running = torch.zeros_like(reward[0])
    for t in reversed(range(reward.shape[0])):
        alive = (~terminated[t]).float().unsqueeze(-1)
        goes_on = (~ended[t]).float().unsqueeze(-1)
        delta = reward[t] + gamma * next_value[t] * alive - value[t]
        running = delta + gamma * lam * goes_on * running
        advantage[t] = running
    return advantage


def advantages(batch: Batch, name: str, gamma: float, lam: float) -> Tensor:
    """:func:`gae` of one group, (T, B, n)."""
    values = batch.reward[name], batch.value[name], batch.next_value[name]
    return gae(*values, batch.terminated, batch.ended, gamma, lam)


def standardized(advantage: Tensor) -> Tensor:
    """Scaled to zero mean and unit variance."""
    return (advantage - advantage.mean()) / (advantage.std() + 1e-6)


class Rollout:
    """Collects batches from an environment with a team policy, and the figures of finished episodes.

    The policy receives the observations of ``view``, the critics those of ``critic_view`` (default: the same).
    """

    def __init__(self, env: BatchedEnv, view: str, critic_view: str | None = None) -> None:
        self.env, self.view, self.critic_view = env, view, critic_view or view
        self._is_checked = False
        """whether it has been checked that the environment does not modify arrays it has returned"""

    def tensors(self, kept: Kept | None = None) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Current observations and critic inputs, group → (B, n, ·); ``kept`` checks that the env leaves them alone."""
        observation = observe(self.env, self.view)
        if kept:
            kept.keep(f"observe('{self.view}')", {name: seen.numpy() for name, seen in observation.items()})
        seen = observation if self.critic_view == self.view else observe(self.env, self.critic_view)
        state = self.env.state()
        return observation, {name: torch.cat([seen[name], torch.from_numpy(state[name])], -1) for name in seen}

    @torch.no_grad()
    def collect(
        self, policy: TeamPolicy, critics: nn.ModuleDict, steps: int, memory: Memory | None = None
    ) -> tuple[Batch, list[dict[str, Tensor]]]:
        """Run ``steps`` steps; returns the batch and the figures of episodes that ended, each (K, N).

        ``memory`` holds the recurrent states of ``policy`` in this environment; by default they start from zero.
        """
        memory = memory or Memory(policy, self.env)
        rows: list[dict[str, Any]] = []
        last: dict[int, dict[str, Tensor]] = {}  # step → critic inputs of the episodes that ended with it
        episodes: list[dict[str, Tensor]] = []
        kept = None if self._is_checked else Kept()
        observation, state = self.tensors(kept)
        for t in range(steps):
            distribution = memory.step(observation)
            sample = {name: d.sample() for name, d in distribution.items()}
            log_prob = {name: d.log_prob(sample[name]) for name, d in distribution.items()}
            step = self.env.step({name: command.numpy() for name, command in policy.command(sample).items()})
            if kept:
                kept.keep("step", {"reward": step.reward, "terminated": step.terminated})
            ended = torch.from_numpy(step.terminated | step.truncated)
            reward = torch.from_numpy(step.reward)
            rows.append(
                {
                    "observation": observation,
                    "state": state,
                    "sample": sample,
                    "log_prob": log_prob,
                    "reward": {g.name: reward[:, g.agents] for g in self.env.groups},
                    "terminated": torch.from_numpy(step.terminated),
                    "ended": ended,
                }
            )
            observation, state = self.tensors(kept)
            if ended.any():
                episodes.append({name: torch.from_numpy(figure) for name, figure in step.episodes.items()})
                last[t] = {name: seen[ended] for name, seen in state.items()}
                self.env.reset_ended()
                memory.forget(ended)
                observation, state = self.tensors(kept)
        self._is_checked = True
        value, next_value = _values(critics, [*(row["state"] for row in rows), state], last, [r["ended"] for r in rows])
        return Batch(value=value, next_value=next_value, **_stack(rows)), episodes


def _values(
    critics: nn.ModuleDict, states: list[dict[str, Tensor]], last: dict[int, dict[str, Tensor]], ended: list[Tensor]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Values of the T states acted in and of those that followed, before any reset; group → (T, B, n) each.

    Args:
        critics: of each group.
        states: T + 1 consecutive critic inputs, (B, n, O + S), after resets.
        last: step → critic inputs of the episodes that ``ended`` with it, before their reset, (K, n, O + S).
        ended: (B,) bool for each of T steps.
    """
    values = values_of(critics, {name: torch.stack([state[name] for state in states]) for name in states[0]})
    following = {name: value[1:].clone() for name, value in values.items()}
    for t, state in last.items():
        for name, value in values_of(critics, state).items():
            following[name][t, ended[t]] = value
    return {name: value[:-1] for name, value in values.items()}, following


def values_of(critics: nn.ModuleDict, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Group → values in units of reward, (..., n)."""
    return {name: critic.value(state[name]) for name, critic in _each(critics)}


def _each(critics: nn.ModuleDict) -> list[tuple[str, Critic]]:
    """The critics with their groups' names."""
    return [(name, cast(Critic, critic)) for name, critic in critics.items()]


def _stack(rows: list[dict[str, Any]]) -> dict[str, Any]:
    def stack(key: str) -> Tensor | dict[str, Tensor]:
        first = rows[0][key]
        if isinstance(first, dict):
            return {name: torch.stack([row[key][name] for row in rows]) for name in first}
        return torch.stack([row[key] for row in rows])

    return {key: stack(key) for key in rows[0]}


class PPO:
    """Updates a team policy and its critics from rollouts."""

    def __init__(self, policy: TeamPolicy, critics: nn.ModuleDict, config: PPOConfig) -> None:
        self.policy, self.critics, self.config = policy, critics, config
        self.optimizer = torch.optim.Adam(
            [{"params": policy.parameters()}, {"params": critics.parameters()}], lr=config.learning_rate, eps=1e-5
        )

    def set_progress(self, done: float) -> None:
        """Decay the learning rate linearly; ``done`` goes from 0 to 1."""
        rate = self.config.learning_rate * (1 - (1 - self.config.final_learning_rate) * done)
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def update(self, batch: Batch) -> dict[str, float]:
        """One PPO update; returns mean losses for the log.

        Raises:
            KdmarlError: a loss is not finite; the networks keep the state before the faulty step.
        """
        config = self.config
        advantage, target = {}, {}
        for name, critic in _each(self.critics):
            raw = advantages(batch, name, config.gamma, config.gae_lambda)
            returns = raw + batch.value[name]
            critic.value_normalizer.update(returns.reshape(-1, 1))
            target[name] = critic.value_normalizer(returns.unsqueeze(-1)).squeeze(-1).flatten(0, 1)
            advantage[name] = standardized(raw).flatten(0, 1)
            critic.normalizer.update(batch.state[name])
        flat = {
            key: {name: x.flatten(0, 1) for name, x in getattr(batch, key).items()}
            for key in ("observation", "state", "sample", "log_prob")
        }
        rows = batch.ended.numel()
        sums = {"policy_loss": 0.0, "value_loss": 0.0, "entropy": 0.0, "kl": 0.0}
        updates = 0
        for _ in range(config.epochs):
            epoch_kl = 0.0
            for chosen in torch.randperm(rows).chunk(config.minibatches):
                figures = self._minibatch(flat, advantage, target, chosen)
                updates += 1
                epoch_kl += figures["kl"] / config.minibatches
                for name, figure in figures.items():
                    sums[name] += figure
            if epoch_kl > config.kl_stop:
                break
        self.policy.update_normalizers(flat["observation"])
        return {name: total / updates for name, total in sums.items()} | {"updates": updates}

    def _minibatch(
        self,
        flat: dict[str, dict[str, Tensor]],
        advantage: dict[str, Tensor],
        target: dict[str, Tensor],
        chosen: Tensor,
    ) -> dict[str, float]:
        config = self.config
        distributions = self.policy({name: x[chosen] for name, x in flat["observation"].items()})
        policy_loss, value_loss, entropy, kl = (torch.zeros(()) for _ in range(4))
        agents = sum(old.shape[-1] for old in flat["log_prob"].values())
        for name, distribution in distributions.items():
            log_prob = distribution.log_prob(flat["sample"][name][chosen])
            share = log_prob.shape[-1] / agents
            log_ratio = log_prob - flat["log_prob"][name][chosen]
            ratio = log_ratio.exp()
            gain = advantage[name][chosen]
            clipped = ratio.clamp(1 - config.clip, 1 + config.clip)
            policy_loss = policy_loss - share * torch.min(ratio * gain, clipped * gain).mean()
            entropy = entropy + share * distribution.entropy().mean()
            critic = cast(Critic, self.critics[name])
            value_loss = value_loss + share * ((critic(flat["state"][name][chosen]) - target[name][chosen]) ** 2).mean()
            kl = kl + share * ((ratio - 1) - log_ratio).detach().mean()
        loss = policy_loss + value_loss - config.entropy * entropy
        if not torch.isfinite(loss):
            raise KdmarlError(f"the loss is {loss.item()}; lower expert.ppo.learning_rate and train again")
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        for network in (self.policy, self.critics):
            nn.utils.clip_grad_norm_(network.parameters(), config.max_grad_norm)
        self.optimizer.step()
        return {
            "policy_loss": policy_loss.item(),
            "value_loss": value_loss.item(),
            "entropy": entropy.item(),
            "kl": kl.item(),
        }
