"""Critics for an expert without any: fitted to the returns of its own rollouts."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, cast

import msgspec
import torch
from torch import Tensor, nn

from kdmarl_core.contract import KdmarlError
from kdmarl_core.contract.bounds import Positive
from kdmarl_core.envs.base import BatchedEnv
from kdmarl_core.errors import naming
from kdmarl_core.expert.distributions import Categorical, Distribution, SquashedGaussian
from kdmarl_core.expert.log import MetricsLog, progress_bar
from kdmarl_core.expert.networks import UNAVAILABLE, Critic, NetworkConfig, make_critics
from kdmarl_core.expert.policies import TeamPolicy
from kdmarl_core.expert.ppo import Batch, PPOConfig, Rollout, advantages

Count = Annotated[int, msgspec.Meta(ge=1)]
Unit = Annotated[float, msgspec.Meta(ge=0, le=1)]
CHECKPOINT = "critics.safetensors"
FINAL_RATE = 0.1
"""Share of the learning rate that is left at the end of its linear decay."""
MAX_GRAD_NORM = 1.0
LONGEST = 200
"""Steps in which the explained variance is measured, at most."""


class CriticsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How critics are fitted to an expert."""

    network: NetworkConfig = NetworkConfig(hidden=(128, 128))
    gamma: Unit = 0.99
    """discount of the returns, and of the distilled advantages under these critics"""
    gae_lambda: Unit = 0.95
    """of the returns and of the distilled advantages"""
    learning_rate: Positive = 1e-3
    envs: Count = 128
    steps: Count = 50
    """of each environment in one rollout"""
    iterations: Count = 80
    epochs: Count = 4
    minibatches: Count = 8
    wander: Unit = 0.5
    """share of the environments in which agents first act at random, for at most half of a rollout: critics then also
    know the expert's returns from states that only students reach"""

    def __post_init__(self) -> None:
        if self.network.memory:
            raise ValueError("memory is for students only; set it to 0 in network")

    @property
    def env_steps(self) -> int:
        """Environment steps in total."""
        return self.envs * self.steps * self.iterations

    @property
    def ppo(self) -> PPOConfig:
        """The discounts, for the distilled advantage."""
        return PPOConfig(gamma=self.gamma, gae_lambda=self.gae_lambda)


def fit_critics(
    make_env: Callable[[int], BatchedEnv],
    expert: TeamPolicy,
    config: CriticsConfig = CriticsConfig(),  # noqa: B008 - immutable
    seed: int = 0,
    folder: Path | None = None,
) -> nn.ModuleDict:
    """Fit critics to ``expert``, which is not changed; returns group → critic.

    The expert drives, and each critic learns lambda-returns (Sutton and Barto, "Reinforcement Learning", 2018, section
    12.1) from the expert's observation and the central state. Steps in which agents ``wander`` are left out.

    Args:
        make_env: number of environments → environment.
        expert: whose returns are fitted.
        config: hyperparameters.
        seed: of environments and networks.
        folder: for ``metrics.jsonl``, one line an iteration; None: nothing is written.

    Raises:
        KdmarlError: a loss is not finite, or the file cannot be written.
    """
    torch.manual_seed(seed)
    env = make_env(config.envs)
    env.reset(seed)
    env.desynchronize()
    critics = make_critics(env, config.network, expert.view)
    optimizer = torch.optim.Adam(critics.parameters(), lr=config.learning_rate, eps=1e-5)
    rollout, driver = Rollout(env, expert.view), _Wandering(expert)
    log = MetricsLog(folder, 0) if folder else None
    with progress_bar() as progress:
        bar = progress.add_task("critics", total=config.iterations, figures="")
        for iteration in range(config.iterations):
            started = time.perf_counter()
            until = _wandering_steps(config)
            driver.start(until)
            batch, _ = rollout.collect(driver, critics, config.steps)
            collected = time.perf_counter()
            for group in optimizer.param_groups:
                group["lr"] = config.learning_rate * (1 - (1 - FINAL_RATE) * iteration / config.iterations)
            kept = (torch.arange(config.steps).unsqueeze(1) >= until).flatten()
            with naming(f"critics: iteration {iteration}"):
                loss = _update(critics, optimizer, batch, kept, config)
            row: dict[str, float] = {
                "iteration": iteration,
                "value_loss": loss,
                "reward": float(torch.cat([reward.flatten() for reward in batch.reward.values()]).mean()),
                "seconds/rollout": collected - started,
                "seconds/update": time.perf_counter() - collected,
            }
            if log:
                log.append(row)
            progress.update(bar, completed=iteration + 1, figures=f"value loss {loss:.3f}")
    return critics.eval()


@torch.no_grad()
def explained_variance(
    make_env: Callable[[int], BatchedEnv],
    expert: TeamPolicy,
    critics: nn.ModuleDict,
    config: CriticsConfig,
    seed: int,
) -> dict[str, float]:
    """Group → explained variance of the expert's returns under its critic, 1 at best.

    Returns are discounted sums of rewards of a held-out rollout, bootstrapped by the critics at its end and where an
    episode is truncated. Only steps of the rollout's first half count.
    """
    torch.manual_seed(seed)
    env = make_env(config.envs)
    env.reset(seed)
    env.desynchronize()
    steps = min(env.max_steps, LONGEST)
    batch, _ = Rollout(env, expert.view).collect(expert, critics, steps)
    explained = {}
    for name in batch.value:
        missed = advantages(batch, name, config.gamma, 1.0)[: -(-steps // 2)]
        returns = missed + batch.value[name][: len(missed)]
        explained[name] = 1 - float(missed.var(unbiased=False) / returns.var(unbiased=False).clamp(min=1e-8))
    return explained


def _wandering_steps(config: CriticsConfig) -> Tensor:
    """(B,) number of steps at the start of a rollout in which agents act at random."""
    wanders = torch.rand(config.envs) < config.wander
    return torch.where(wanders, torch.randint(config.steps // 2 + 1, (config.envs,)), 0)


def _update(
    critics: nn.ModuleDict, optimizer: torch.optim.Optimizer, batch: Batch, kept: Tensor, config: CriticsConfig
) -> float:
    """Gradient steps on the ``kept`` (T · B) bool steps; returns the mean loss in units of normalised values."""
    states, targets = {}, {}
    for name, module in critics.items():
        critic = cast(Critic, module)
        returns = advantages(batch, name, config.gamma, config.gae_lambda) + batch.value[name]
        returns, states[name] = returns.flatten(0, 1)[kept], batch.state[name].flatten(0, 1)[kept]
        critic.normalizer.update(states[name])
        critic.value_normalizer.update(returns.reshape(-1, 1))
        targets[name] = critic.value_normalizer(returns.unsqueeze(-1)).squeeze(-1)
    losses = []
    for _ in range(config.epochs):
        for chosen in torch.randperm(int(kept.sum())).chunk(config.minibatches):
            each = [((critics[name](states[name][chosen]) - targets[name][chosen]) ** 2).mean() for name in targets]
            loss = torch.stack(each).mean()
            if not torch.isfinite(loss):
                raise KdmarlError(f"the loss is {loss.item()}; lower expert.critics.learning_rate and train again")
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(critics.parameters(), MAX_GRAD_NORM)
            optimizer.step()
            losses.append(loss.item())
    return sum(losses) / len(losses)


class _Wandering(TeamPolicy):
    """An expert whose agents act at random in the first steps of a rollout, in some environments."""

    def __init__(self, expert: TeamPolicy) -> None:
        super().__init__(expert.view)
        self.expert, self.heads = expert, expert.heads
        self._held: dict[str, Tensor] = {}

    def start(self, until: Tensor) -> None:
        """Begin a rollout; ``until`` (B,) is the number of steps that agents wander in each environment."""
        self._until, self._step, self._held = until, 0, {}

    def forward(self, observation: dict[str, Tensor]) -> dict[str, Distribution]:
        """The expert's distributions, or those of random commands, over (B, n) agents."""
        wanders = (self._step < self._until)[:, None, None]
        self._step += 1
        return {name: self._wander(name, decided, wanders) for name, decided in self.expert(observation).items()}

    def _wander(self, name: str, decided: Distribution, wanders: Tensor) -> Distribution:
        if isinstance(decided, Categorical):
            return Categorical(torch.where(wanders & (decided.logits > UNAVAILABLE / 2), 0.0, decided.logits))
        # The same command in all steps leads farther away than a new one in each.
        held = self._held.setdefault(name, torch.randn_like(decided.mean))
        return SquashedGaussian(torch.where(wanders, held, decided.mean), torch.where(wanders, -1.0, decided.log_std))
