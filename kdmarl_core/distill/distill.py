"""Stage 2: distil the expert into one student per robot type; no critic, the expert stays frozen."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import torch
from torch import nn

from kdmarl_core.contract import KdmarlError
from kdmarl_core.contract.bounds import Positive
from kdmarl_core.distill.aggregation import Aggregate, gather, rows
from kdmarl_core.distill.losses import LossWeights
from kdmarl_core.distill.polish import REVISION, PolishConfig, Polisher
from kdmarl_core.distill.quantization import quantize
from kdmarl_core.distill.segments import draw, recall
from kdmarl_core.distill.structure import Structure
from kdmarl_core.envs.base import STUDENT, BatchedEnv, Group
from kdmarl_core.errors import naming
from kdmarl_core.expert import checkpoint
from kdmarl_core.expert.fingerprint import Facts
from kdmarl_core.expert.log import MetricsLog, progress_bar
from kdmarl_core.expert.memory import Memory
from kdmarl_core.expert.networks import NetworkConfig
from kdmarl_core.expert.policies import DecentralizedPolicy, TeamPolicy, observe
from kdmarl_core.expert.ppo import PPOConfig

Count = Annotated[int, msgspec.Meta(ge=1)]
Unit = Annotated[float, msgspec.Meta(ge=0, le=1)]
CHECKPOINT = "students.safetensors"
RECALL = 300
"""Gradient steps between two recomputations of the recurrent states at the start of segments."""


class DistillConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How students are distilled."""

    students: dict[str, NetworkConfig]
    """robot type → its student's network"""
    loss: LossWeights = LossWeights()
    polish: PolishConfig = PolishConfig()
    envs: Count = 64
    rounds: Count = 40
    """of gathering states and fitting"""
    steps: Count = 60
    """of each environment in a round"""
    handover: Unit = 0.25
    """share of the rounds over which driving is handed over from the expert to the students"""
    driver: Literal["shared", "expert"] = "shared"
    """who drives while states are gathered; with ``expert`` alone this is behaviour cloning"""
    updates: Count = 300
    """gradient steps in a round"""
    final_updates: Count = 6000
    """gradient steps after the last round, with the learning rate falling to zero"""
    batch: Count = 512
    """time steps of the whole team in a minibatch"""
    learning_rate: Positive = 2e-3
    capacity: Count = 300_000
    """time steps kept"""
    segment: Count = 20
    """consecutive steps on which recurrent students are trained; others learn from single steps"""
    quantization: Literal["none", "int8"] = "none"
    """``int8``: the final updates round as an int8 policy file does; not for recurrent students"""

    def __post_init__(self) -> None:
        remembering = [name for name, network in self.students.items() if network.memory]
        if remembering and self.quantization != "none":
            raise ValueError(
                f"quantization is {self.quantization}, but students.{remembering[0]} has memory and stays in float32; "
                f"set its memory to 0 or quantization to none"
            )
        if self.polish.rounds and self.envs * self.polish.steps == 1:
            raise ValueError("envs and polish.steps are 1, and advantages need more than one step; raise one of them")
        if remembering and self.capacity < self.envs * self.segment:
            raise ValueError(
                f"capacity is {self.capacity}, less than segments of {self.segment} steps in each of {self.envs} envs; "
                "raise it"
            )

    @property
    def env_steps(self) -> int:
        """Environment steps in total."""
        return self.envs * (self.rounds * self.steps + self.polish.rounds * self.polish.steps)

    @property
    def facts(self) -> Facts:
        """What students depend on: all keys (without those of an unused polish), and the polish's revision."""
        if not self.polish.rounds:
            return {"distill": msgspec.to_builtins(msgspec.structs.replace(self, polish=PolishConfig(rounds=0)))}
        return {"distill": msgspec.to_builtins(self), **(REVISION if len(self.students) > 1 else {})}


def make_students(config: DistillConfig, groups: tuple[Group, ...]) -> DecentralizedPolicy:
    """Untrained students: one small actor per type on its robot's own sensors.

    Raises:
        KdmarlError: a type has no student.
    """
    for group in groups:
        if group.name not in config.students:
            raise KdmarlError(f"distill.students: has no network for robot type '{group.name}'; add one")
    return DecentralizedPolicy(groups, STUDENT, config.students)


def distill(
    config: DistillConfig,
    expert: TeamPolicy,
    critics: nn.ModuleDict,
    make_env: Callable[[int], BatchedEnv],
    folder: Path,
    seed: int,
    origin: Facts | None = None,
    ppo: PPOConfig = PPOConfig(),  # noqa: B008 - immutable
) -> DecentralizedPolicy:
    """Distil; writes ``students.safetensors`` and ``metrics.jsonl`` (one line per round) into ``folder``.

    ``critics`` are the expert's, for the distilled advantage (``config.polish``), and ``ppo`` is how they were trained.
    ``origin`` identifies task, expert and seed; it is stored with the students.

    Raises:
        KdmarlError: a type has no student, the expert lacks what a term needs (see :func:`check`), a loss is not
            finite, or a file cannot be written; students of an earlier distillation are kept.
    """
    check(config, expert, critics)
    torch.manual_seed(seed)
    env = make_env(config.envs)
    env.reset(seed)
    env.desynchronize()
    students = make_students(config, env.groups)
    structure = Structure(expert, students, config.loss, seed)
    projections = structure.projections(expert.features(observe(env, expert.view)) if config.loss.of_features else {})
    memory = Memory(students, env)
    stores = {group.name: Aggregate(config.capacity) for group in env.groups}
    optimizer, log = torch.optim.Adam(structure.parameters(), lr=config.learning_rate), MetricsLog(folder, 0)
    handover = max(config.handover * config.rounds, 1e-9)
    with progress_bar() as progress:
        bar = progress.add_task("students", total=config.rounds + 1 + config.polish.rounds, figures="")
        for round_ in range(config.rounds):
            started = time.perf_counter()
            share = max(0.0, 1 - round_ / handover) if config.driver == "shared" else 1.0
            with naming(f"{folder}: round {round_}"):
                gathered = gather(env, expert, students, config.steps, share, projections, memory)
                for name, part in gathered.items():
                    stores[name].add(part)
                    students.actor(name).normalizer.update(part.observation)
                if round_ == 0:
                    structure.find_roles(gathered)
                seconds = {"seconds/gather": time.perf_counter() - started}
                started = time.perf_counter()
                figures = _fit(structure, optimizer, stores, config, config.updates)
            seconds["seconds/fit"] = time.perf_counter() - started
            log.append({"round": round_, "expert_share": share, **figures, **seconds})
            progress.update(bar, completed=round_ + 1, figures=_short(figures))
        if config.quantization == "int8":
            quantize(students)
        with naming(f"{folder}: final updates"):
            _fit(structure, optimizer, stores, config, config.final_updates, decay=True)
        progress.update(bar, completed=config.rounds + 1)
        polisher = Polisher(config.polish, config.loss, env, expert, critics, students, ppo, memory)
        for row in _polished(polisher, config, folder):
            log.append(row)
            progress.advance(bar)
    checkpoint.save(folder / CHECKPOINT, {"students": students}, None, _facts(config, origin), {})
    return students


def _polished(polisher: Polisher, config: DistillConfig, folder: Path) -> Iterator[dict[str, float]]:
    """Run the rounds of polish, yielding the figures of each."""
    for round_ in range(config.polish.rounds):
        started = time.perf_counter()
        number = config.rounds + round_
        with naming(f"{folder}: round {number}"):
            figures = polisher.round(round_)
        yield {"round": number, **figures, "seconds/polish": time.perf_counter() - started}


def check_features(config: DistillConfig, expert: TeamPolicy) -> None:
    """Check that an expert has features if students are to learn from them.

    Raises:
        KdmarlError: it has none, but relations or roles have a weight.
    """
    for term in () if expert.has_features else config.loss.of_features:
        raise KdmarlError(
            f"distill.loss.{term} is {getattr(config.loss, term):g}, but this expert, which kdmarl did not train, has "
            "no features to learn from; set it to 0"
        )


def check(config: DistillConfig, expert: TeamPolicy, critics: nn.ModuleDict) -> None:
    """Check that an expert has everything that its students are to learn from; ``critics`` are by group.

    Raises:
        KdmarlError: as :func:`check_features`, or students are to be polished but a critic is missing.
    """
    check_features(config, expert)
    missing = [name for name in expert.heads if name not in critics]
    if config.polish.rounds and missing:
        raise KdmarlError(
            f"distill.polish.rounds is {config.polish.rounds}, but the expert has no critic for '{missing[0]}'; give "
            "critics (kdmarl_core.expert.critics.fit_critics makes them), or set it to 0"
        )


def load_students(
    config: DistillConfig, env: BatchedEnv, folder: Path, origin: Facts | None = None
) -> DecentralizedPolicy:
    """The distilled students in ``folder``; ``origin`` as in :func:`distill`.

    Raises:
        KdmarlError: they are missing, or were distilled with other settings, from another expert or for another task.
    """
    students = make_students(config, env.groups)
    if config.quantization == "int8":
        quantize(students)
    checkpoint.load(folder / CHECKPOINT, {"students": students}, _facts(config, origin), "distill")
    return students.eval()


def _facts(config: DistillConfig, origin: Facts | None) -> Facts:
    return {"distill": msgspec.to_builtins(config), **(origin or {})}


def _fit(
    structure: Structure,
    optimizer: torch.optim.Optimizer,
    stores: dict[str, Aggregate],
    config: DistillConfig,
    updates: int,
    decay: bool = False,
) -> dict[str, float]:
    """Gradient steps on everything gathered; returns the mean of each loss term over the last fifty."""
    kept = {name: store.all() for name, store in stores.items()}
    moments = min(states.observation.shape[0] for states in kept.values())
    recurrent = bool(structure.students.memories)
    length = min(config.segment, moments // config.envs) if recurrent else 1
    recent: list[dict[str, float]] = []
    for update in range(updates):
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * ((1 - update / updates) if decay else 1.0)
        if update % RECALL == 0:
            data = {name: recall(structure.students.actor(name), states, config.envs) for name, states in kept.items()}
        if recurrent:
            chosen = draw(moments, config.envs, length, config.batch)
        else:
            chosen = torch.randint(moments, (config.batch,))
        losses = structure.loss({name: rows(states, chosen) for name, states in data.items()}, length)
        total = torch.stack(list(losses.values())).sum()
        if not torch.isfinite(total):
            term = next((name for name, value in losses.items() if not torch.isfinite(value)), "in all")
            raise KdmarlError(
                f"the loss {term} is {losses.get(term, total).item()}; lower distill.learning_rate and distill again"
            )
        optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if updates - update <= 50:
            recent.append({name: value.item() for name, value in losses.items()})
    return {name: sum(row[name] for row in recent) / len(recent) for name in recent[0]}


def _short(figures: dict[str, float]) -> str:
    """Each type's weighted imitation loss."""
    losses: dict[str, float] = {}
    for name, value in figures.items():
        of, _, term = name.partition("/")
        if term in ("kl", "action"):
            losses[of] = losses.get(of, 0.0) + value
    return " ".join(f"{of} {loss:.3g}" for of, loss in losses.items())
