"""Stage 1: train the expert with MAPPO; progress bar, TensorBoard, checkpoints, exact resume."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import numpy as np
import torch
from torch import nn

from kdmarl_core.contract import KdmarlError
from kdmarl_core.contract.writing import writing
from kdmarl_core.envs.base import EXPERT, BatchedEnv, Group
from kdmarl_core.errors import naming
from kdmarl_core.expert import checkpoint
from kdmarl_core.expert.fingerprint import Facts
from kdmarl_core.expert.log import METRICS, MetricsLog, TensorBoardLog, progress_bar
from kdmarl_core.expert.networks import NetworkConfig, make_critics
from kdmarl_core.expert.policies import ATTENTION_HEADS, TeamPolicy, make_policy
from kdmarl_core.expert.ppo import PPO, PPOConfig, Rollout

Count = Annotated[int, msgspec.Meta(ge=1)]
CHECKPOINT = "checkpoint.safetensors"


class ExpertConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the expert is trained."""

    policy: Literal["decentralized", "shared", "centralized"] = "decentralized"
    """one actor per type, one for all types, or attention over the whole team's observations"""
    view: Literal["expert", "student"] = EXPERT  # type: ignore[assignment]
    """what its actors see; ``student`` trains a policy on the robots' own sensors"""
    critic_view: Literal["expert", "student"] | None = None
    """what its critics see in addition to the central state; None: what the actors see"""
    actor: NetworkConfig = NetworkConfig()
    actors: dict[str, NetworkConfig] = {}
    """robot type → its actor instead of ``actor``"""
    critic: NetworkConfig = NetworkConfig()
    ppo: PPOConfig = PPOConfig()
    envs: Count = 128
    steps: Count = 50
    """of each environment in one rollout"""
    iterations: Count = 400
    checkpoint_every: Count = 20
    """iterations; environments and random generators are reset there, so that a resumed run is the same run"""

    @property
    def env_steps(self) -> int:
        """Environment steps in total."""
        return self.envs * self.steps * self.iterations

    @property
    def views(self) -> tuple[str, ...]:
        """All views that training uses."""
        return tuple(dict.fromkeys((self.view, self.critics_see)))

    def described(self, group: str) -> str:
        """Short description for manifests."""
        return f"{self.policy} MAPPO {list(self.actors.get(group, self.actor).hidden)}"

    @property
    def own_types(self) -> Collection[str]:
        """Robot types that the configuration names."""
        return self.actors

    @property
    def critics_see(self) -> str:
        """View of the critics."""
        return self.critic_view or self.view

    def __post_init__(self) -> None:
        if self.envs * self.steps == 1:
            raise ValueError("envs and steps are 1, and advantages need more than one step; raise one of them")
        if self.actors and self.policy != "decentralized":
            raise ValueError(f"actors are given, but a {self.policy} policy is a single network; remove them")
        if any(network.memory for network in (self.actor, self.critic, *self.actors.values())):
            raise ValueError("memory is for students only; set it to 0 in actor, actors and critic")
        if self.policy == "centralized" and (not self.actor.hidden or self.actor.hidden[-1] % ATTENTION_HEADS):
            raise ValueError(
                f"actor.hidden is {list(self.actor.hidden)}; a centralized policy needs a last width that its "
                f"{ATTENTION_HEADS} attention heads can share evenly"
            )


def train(
    config: ExpertConfig,
    make_env: Callable[[int], BatchedEnv],
    folder: Path,
    seed: int,
    resume: bool = True,
    task: Facts | None = None,
) -> TeamPolicy:
    """Train, or resume from the checkpoint in ``folder``; returns the trained policy.

    ``task`` describes the task of ``make_env`` as seen in ``config.views``; a run with another task is not resumed.

    Writes ``checkpoint.safetensors``, ``metrics.jsonl`` (one line per iteration) and TensorBoard events.

    Raises:
        KdmarlError: the checkpoint is damaged or belongs to another configuration, a loss is not finite, or a file
            cannot be written (the last checkpoint is kept).
    """
    env = make_env(config.envs)
    torch.manual_seed(seed)
    policy = untrained(config, env.groups)
    critics = make_critics(env, config.critic, config.critics_see)
    learner = PPO(policy, critics, config.ppo)
    modules = {"policy": policy, "critics": critics}
    path = folder / CHECKPOINT
    facts = expert_facts(config, seed, task)
    start = 0
    if resume and path.exists():
        start = int(checkpoint.load(path, modules, facts, "train", learner.optimizer)["iteration"])
    rows, events = MetricsLog(folder, start), TensorBoardLog(folder, start)
    if not resume:
        with writing(path):
            path.unlink(missing_ok=True)
    rollout = Rollout(env, config.view, config.critics_see)
    with progress_bar() as progress:
        bar = progress.add_task("expert", total=config.iterations, completed=start, figures="")
        for iteration in range(start, config.iterations):
            if iteration == start or iteration % config.checkpoint_every == 0:
                _restart(env, seed, iteration)
            if iteration == 0:
                _warm_up(rollout, policy, config)
            learner.set_progress(iteration / config.iterations)
            env.set_progress(iteration / config.iterations)
            with naming(f"{folder}: iteration {iteration}"):
                row = _iterate(rollout, learner, config)
            rows.append(row | {"iteration": iteration})
            events.append(row, iteration)
            progress.update(bar, completed=iteration + 1, figures=_figures(row))
            if (iteration + 1) % config.checkpoint_every == 0 or iteration + 1 == config.iterations:
                checkpoint.save(path, modules, learner.optimizer, facts, {"iteration": str(iteration + 1)})
    return policy


def untrained(config: ExpertConfig, groups: tuple[Group, ...]) -> TeamPolicy:
    """The policy that ``config`` describes, before training."""
    return make_policy(config.policy, groups, config.actor, config.view, config.actors)


def seconds(folder: Path) -> float:
    """How long the training in ``folder`` took, however often it was interrupted [s]."""
    rows = map(json.loads, (folder / METRICS).read_text(encoding="utf-8").splitlines())
    return float(sum(row["seconds/rollout"] + row["seconds/update"] for row in rows))


def load_policy(
    config: ExpertConfig, env: BatchedEnv, folder: Path, seed: int, task: Facts | None = None
) -> TeamPolicy:
    """The trained policy in ``folder``, ready to act; ``seed`` and ``task`` as in :func:`train`.

    Raises:
        KdmarlError: it is missing, was trained with other settings, or its training is not finished.
    """
    policy = untrained(config, env.groups)
    _load({"policy": policy}, config, folder, expert_facts(config, seed, task))
    return policy.eval()


def load_expert(
    config: ExpertConfig, env: BatchedEnv, folder: Path, seed: int, task: Facts | None = None
) -> tuple[TeamPolicy, nn.ModuleDict]:
    """The trained policy and its critics, which only fit the team of the training; as :func:`load_policy`.

    Raises:
        KdmarlError: as :func:`load_policy`, or the critics have another view than the actors.
    """
    if len(config.views) > 1:
        raise KdmarlError(
            f"expert.critic_view is {config.critic_view} and expert.view {config.view}, but students learn from "
            "critics that see what their expert sees; remove critic_view and train the expert again"
        )
    policy = untrained(config, env.groups)
    critics = make_critics(env, config.critic, config.view)
    _load({"policy": policy, "critics": critics}, config, folder, expert_facts(config, seed, task))
    return policy.eval(), critics.eval()


def _load(modules: dict[str, nn.Module], config: ExpertConfig, folder: Path, facts: Facts) -> None:
    path = folder / CHECKPOINT
    notes = checkpoint.load(path, modules, facts, "train")
    if int(notes["iteration"]) < config.iterations:
        raise KdmarlError(
            f"{path}: has {notes['iteration']} of {config.iterations} iterations; finish the training first"
        )


def expert_facts(config: ExpertConfig, seed: int, task: Facts | None) -> Facts:
    """Everything that must be equal to resume or use a run."""
    return {"expert": msgspec.to_builtins(config), "seed": seed, "task": task or {}}


def _iterate(rollout: Rollout, learner: PPO, config: ExpertConfig) -> dict[str, float]:
    started = time.perf_counter()
    batch, episodes = rollout.collect(learner.policy, learner.critics, config.steps)
    collected = time.perf_counter()
    row: dict[str, float] = learner.update(batch)
    row["reward"] = float(np.mean([r.mean().item() for r in batch.reward.values()]))
    for name in episodes[0] if episodes else ():
        figures = torch.cat([episode[name] for episode in episodes])
        if figures.isfinite().any():
            row[f"episode/{name}"] = figures.nanmean().item()
            for group in rollout.env.groups:
                row[f"{group.name}/{name}"] = figures[:, group.agents].nanmean().item()
    row["seconds/rollout"] = collected - started
    row["seconds/update"] = time.perf_counter() - collected
    return row


def _restart(env: BatchedEnv, seed: int, iteration: int) -> None:
    """Reset environments and random generators, depending on seed and iteration only."""
    torch.manual_seed(seed * 1_000_003 + iteration)
    env.reset(seed * 1_000_003 + iteration)
    env.desynchronize()


@torch.no_grad()
def _warm_up(rollout: Rollout, policy: TeamPolicy, config: ExpertConfig) -> None:
    """Initialise the normalisers with observations of random actions."""
    for _ in range(config.steps):
        observation, _ = rollout.tensors()
        policy.update_normalizers(observation)
        samples = {name: d.sample() for name, d in policy(observation).items()}
        rollout.env.step({name: command.numpy() for name, command in policy.command(samples).items()})
        rollout.env.reset_ended()


def _figures(row: dict[str, float]) -> str:
    if "episode/win_rate" in row:
        return f"win rate {row['episode/win_rate']:.2f}"
    if "episode/success" not in row:
        return f"reward {row['reward']:+.3f}"
    return f"success {row['episode/success']:.2f} collisions {row.get('episode/collisions', 0):.2f}"
