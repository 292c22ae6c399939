"""What ``kdmarl train``, ``distill`` and ``export`` do."""

from __future__ import annotations

import copy
import datetime
import subprocess
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import torch
import yaml
from rich.console import Console

from kdmarl_core import __version__
from kdmarl_core.contract import Discrete, KdmarlError, Manifest
from kdmarl_core.contract.manifest import Provenance
from kdmarl_core.contract.robots import Budget
from kdmarl_core.contract.writing import replacing
from kdmarl_core.distill import distill as stage_2
from kdmarl_core.distill import quantization
from kdmarl_core.distill.capacity import Cost, amount
from kdmarl_core.envs.base import STUDENT, BatchedEnv
from kdmarl_core.envs.particle.particle import ParticleConfig
from kdmarl_core.envs.robots.world import RobotsEnv
from kdmarl_core.envs.smax.config import SmaxConfig
from kdmarl_core.evaluate import episodes
from kdmarl_core.experiment.experiment import (
    Experiment,
    RobotTask,
    expert_origin,
    load_experiment,
    make_env,
    task_facts,
)
from kdmarl_core.expert import fingerprint
from kdmarl_core.expert import train as stage_1
from kdmarl_core.expert.fingerprint import Facts
from kdmarl_core.expert.memory import Memory
from kdmarl_core.expert.policies import DecentralizedPolicy, observe
from kdmarl_core.export import onnx_export
from kdmarl_core.export.int8 import write_int8_policy
from kdmarl_core.runtime import Policy

RESULTS = "docs/results"
"""Where results are, from the top of the work tree."""
PARITY = 1e-4
"""Largest difference allowed between a policy file and its network [m/s, rad/s]."""
PARITY_EPISODES = 20
CALIBRATION_EPISODES = 40
"""That give int8 its ranges, of the training's seed."""


class Written(NamedTuple):
    """A policy file that was written."""

    path: Path
    difference: float
    """largest from its network in whole episodes [m/s, rad/s]; 1 for another choice of actions"""
    mean: float
    """of the differences"""


def run_folder(config: Path, output: Path | None) -> Path:
    """Where a run's files are."""
    return output or Path("runs") / config.stem


def policy_path(models: Path, experiment: Experiment, robot_type: str) -> Path:
    """Where a robot type's policy file is."""
    return models / f"{task_name(experiment)}_{robot_type}.onnx"


def task_name(experiment: Experiment) -> str:
    """The task's name, as in manifests."""
    if isinstance(experiment.task, ParticleConfig):
        return experiment.task.scenario
    if isinstance(experiment.task, SmaxConfig):
        return f"smax_{experiment.task.scenario}"  # the names are those of SMAC's maps
    return str(type(experiment.task).__struct_config__.tag)


def train(config: Path, overrides: list[str], output: Path | None, fresh: bool) -> None:
    """Train the expert into ``<run>/expert``."""
    experiment = load_experiment(config, overrides)
    folder = run_folder(config, output) / "expert"
    stage_1.train(
        experiment.expert,
        lambda envs: make_env(experiment, config, envs),
        folder,
        experiment.seed,
        resume=not fresh,
        task=task_facts(experiment, config, *experiment.expert.views),
    )
    with replacing(folder / "config.yaml") as scratch:
        scratch.write_text(yaml.safe_dump(msgspec.to_builtins(experiment), sort_keys=False))
    Console().print(f"expert written to {folder}")


def distill(config: Path, overrides: list[str], output: Path | None) -> None:
    """Distil ``<run>/expert`` into ``<run>/students``."""
    experiment = load_experiment(config, overrides)
    run = run_folder(config, output)
    distilled(experiment, config, run / "expert", run / "students")
    Console().print(f"students written to {run / 'students'}")


def distilled(experiment: Experiment, config: Path, expert_folder: Path, folder: Path) -> DecentralizedPolicy:
    """The students of the expert in ``expert_folder``, which are written to ``folder``.

    Raises:
        KdmarlError: the expert is missing or another one, or as in :func:`~kdmarl_core.distill.distill.distill`.
    """
    env = make_env(experiment, config, 1)
    task = task_facts(experiment, config, *experiment.expert.views)
    expert, critics = stage_1.load_expert(experiment.expert, env, expert_folder, experiment.seed, task)
    students = stage_2.distill(
        experiment.distill,
        expert,
        critics,
        lambda envs: make_env(experiment, config, envs),
        folder,
        experiment.seed,
        students_origin(experiment, config),
        experiment.expert.ppo,
    )
    return students.eval()


def export(config: Path, overrides: list[str], output: Path | None, models: Path, int8: bool = False) -> None:
    """Write ``<run>/students`` as policy files and compare them with the networks over whole episodes.

    With ``int8``, students that were distilled in float32 are quantised first.

    Raises:
        KdmarlError: there are no such students, one of them has memory and ``int8`` is asked for, or as in
            :func:`write_policies`.
    """
    experiment = load_experiment(config, overrides)
    if int8 and any(network.memory for network in experiment.distill.students.values()):
        raise KdmarlError("--int8: students with memory stay in float32; leave it out, or set their memory to 0")
    env = make_env(experiment, config, 4)
    folder = run_folder(config, output) / "students"
    students = stage_2.load_students(experiment.distill, env, folder, students_origin(experiment, config))
    distilled = copy.deepcopy(students)
    if int8 and experiment.distill.quantization == "none":
        quantization.calibrate(students, _visited(env, students, experiment.seed))
    actions = {group.name: group.action for group in env.groups}
    for name, (path, largest, mean) in write_policies(experiment, config, env, students, models, distilled).items():
        told = f"differs from its network by at most {largest:.1e}, {mean:.1e} on average"
        if isinstance(actions[name], Discrete):
            told = f"decides otherwise than its network in {mean:.2%} of its steps"
        Console().print(f"{path}  {path.stat().st_size} bytes, {told}")
        if isinstance(env, RobotsEnv) and isinstance(experiment.task, RobotTask):
            _tell_excess(name, path, env.robot_types[name].budget, config.parent / experiment.task.robot_types)


def _tell_excess(name: str, path: Path, budget: Budget, robots: Path) -> None:
    """Say what a policy file needs beyond its type's budget in ``robots``; ``kdmarl plan`` measures latency."""
    cost = Cost(onnx_export.macs(path), onnx_export.parameters(path), onnx_export.weight_bytes(path))
    over = [f"{amount(cost, each)}, over its budget of {amount(budget, each)}" for each in cost.exceeded(budget)]
    if over:
        Console(soft_wrap=True).print(
            f"{name}: {'; '.join(over)} in {robots}; kdmarl plan finds sizes within it", markup=False, highlight=False
        )


def write_policies(
    experiment: Experiment,
    config: Path,
    env: BatchedEnv,
    students: DecentralizedPolicy,
    models: Path,
    distilled: DecentralizedPolicy | None = None,
) -> dict[str, Written]:
    """Policy files of every type, compared with the networks over whole episodes in ``env``.

    Quantised students become int8 files. These are compared with ``distilled``, what they were before quantisation,
    and may differ.

    Raises:
        KdmarlError: a file cannot be written, or one in float32 differs from its network; then it is removed.
    """
    policies = {}
    # All manifests first: to git, a policy file that was written anew is a change that is not committed.
    manifests = {group.name: _manifest(experiment, config, env, group.name) for group in env.groups}
    for group in env.groups:
        path, actor = policy_path(models, experiment, group.name), students.actor(group.name)
        if quantization.layers(actor):
            manifest = msgspec.structs.replace(manifests[group.name], quantization="int8")
            write_int8_policy(actor, manifest, path)
        else:
            onnx_export.write_policy(actor, manifests[group.name], path)
        policies[group.name] = Policy.load(path)
    written = {}
    parity = _Parity(env, policies, distilled or students)
    episodes.run(env, parity, PARITY_EPISODES, experiment.seed)
    for name, parts in parity.found.items():
        found = np.concatenate(parts)
        difference = float(found.max())
        written[name] = Written(policies[name].path, difference, float(found.mean()))
        if difference > PARITY and policies[name].manifest.quantization == "none":
            written[name].path.unlink()
            raise KdmarlError(f"{written[name].path}: differs from its network by {difference:.2g}; removed, report it")
    return written


def students_origin(experiment: Experiment, config: Path) -> Facts:
    """What students depend on beside their own configuration."""
    task = task_facts(experiment, config, STUDENT, experiment.expert.view)
    return stage_1.expert_facts(experiment.expert, experiment.seed, task)


class _Parity:
    """Policy files at the wheel, beside networks that should act alike; each remembers for itself.

    Attributes:
        found: differences of each type's commands so far, a list of (M, A).
    """

    def __init__(self, env: BatchedEnv, policies: dict[str, Policy], networks: DecentralizedPolicy) -> None:
        self.found: dict[str, list[np.ndarray]] = {name: [] for name in policies}
        self._files, self._networks, self._memory = episodes.PolicyFiles(policies), networks, Memory(networks, env)

    @torch.no_grad()
    def __call__(self, env: BatchedEnv) -> dict[str, np.ndarray]:
        """The files' commands."""
        commands = self._files(env)
        states = self._memory.states
        for name, seen in env.observe(STUDENT).items():
            flat = seen.reshape(-1, seen.shape[-1])
            state = states[name].flatten(0, 1) if name in states else None
            given = commands[name].reshape(len(flat), -1)
            self.found[name].append(onnx_export.differences(self._networks.actor(name), flat, given, state))
        self._memory.step(observe(env, STUDENT))
        return commands

    def forget(self, ended: np.ndarray) -> None:
        """Begin anew in the environments that have ``ended``, (B,) bool."""
        self._files.forget(ended)
        self._memory.forget(torch.from_numpy(ended))


def _visited(env: BatchedEnv, students: DecentralizedPolicy, seed: int) -> dict[str, torch.Tensor]:
    """What students without memory see in whole episodes that they drive: group → (M, O)."""
    seen: dict[str, list[torch.Tensor]] = {group.name: [] for group in env.groups}

    @torch.no_grad()
    def watched(env: BatchedEnv) -> dict[str, np.ndarray]:
        observation = observe(env, STUDENT)
        for name, rows in observation.items():
            seen[name].append(rows.flatten(0, 1).clone())
        return {name: students.actor(name).greedy(rows).numpy() for name, rows in observation.items()}

    episodes.run(env, watched, CALIBRATION_EPISODES, seed)
    return {name: torch.cat(parts) for name, parts in seen.items()}


def _manifest(experiment: Experiment, config: Path, env: BatchedEnv, robot_type: str) -> Manifest:
    group = next(group for group in env.groups if group.name == robot_type)
    actor = experiment.expert.actors.get(robot_type, experiment.expert.actor)
    return Manifest(
        name=f"{task_name(experiment)}_{robot_type}",
        task=task_name(experiment),
        robot_type=robot_type,
        observation=group.observation[STUDENT],
        action=group.action,
        control_period=env.control_period,
        goal_tolerance=getattr(experiment.task, "goal_tolerance", None),
        domain=env.domain[robot_type] if isinstance(env, RobotsEnv) else None,
        provenance=Provenance(
            kdmarl_version=__version__,
            commit=commit(config.parent),
            config_sha256=experiment.sha256,
            seed=experiment.seed,
            expert=f"{experiment.expert.policy} MAPPO {list(actor.hidden)}",
            expert_sha256=fingerprint.sha256(expert_origin(experiment, config)),
            created=datetime.date.today().isoformat(),
        ),
    )


def commit(folder: Path) -> str:
    """The commit of the work tree around ``folder``, with ``-dirty`` when something but results is not committed."""
    changed = ["status", "--porcelain", "--untracked-files=no", "--", ":(top)", f":(top,exclude){RESULTS}"]
    try:
        head, changes = (_git(folder, *command) for command in (["rev-parse", "HEAD"], changed))
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return f"{head}-dirty" if changes else head


def _git(folder: Path, *command: str) -> str:
    # Without that option, git writes what it has learnt of the files into its index.
    whole = ["git", "--no-optional-locks", "-C", str(folder), *command]
    return subprocess.run(whole, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
