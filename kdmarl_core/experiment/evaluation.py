"""Evaluate policy files on held-out episodes, compared with the expert and random commands."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from kdmarl_core.contract import KdmarlError, Swarm
from kdmarl_core.contract.figures import RECORDED
from kdmarl_core.contract.manifest import Results
from kdmarl_core.contract.writing import replacing
from kdmarl_core.envs.base import STUDENT, BatchedEnv
from kdmarl_core.evaluate import episodes, statistics
from kdmarl_core.experiment import experts
from kdmarl_core.experiment.experiment import Experiment
from kdmarl_core.experiment.provenance import command_line
from kdmarl_core.experiment.stages import EXPERT_FOLDER
from kdmarl_core.expert import fingerprint, foreign
from kdmarl_core.expert.foreign import ForeignConfig
from kdmarl_core.expert.policies import TeamPolicy, greedy
from kdmarl_core.expert.train import load_policy
from kdmarl_core.export import onnx_export
from kdmarl_core.runtime import Policy

Figures = dict[str, np.ndarray]
Row = dict[str, Any]


class Evaluation(NamedTuple):
    """Results of a team of policy files."""

    policies: dict[str, Policy]
    """robot type → its policy file"""
    macs: dict[str, dict[str, int | None]]
    """team → robot type → multiply-accumulates of one decision; None if unknown"""
    agents: dict[str, slice]
    """robot type → indices of its agents"""
    figures: dict[str, Figures]
    """team (``expert``, ``students``, ``random`` …) → figure → (episodes, N)"""
    rows: list[Row]
    """one for each team and type, and one for each whole team: statistics of the figures"""
    others: list[Path]
    """policy files that were distilled from a different expert than the one they are compared with"""


def evaluate(
    experiment: Experiment,
    models: Path,
    output: Path | None = None,
    swarms: Sequence[Swarm] = (),
    direct: Path | None = None,
    record: bool = False,
    expert: Any = None,
) -> Evaluation:
    """Play the experiment's held-out episodes with every team; writes ``<run>/evaluation.json``.

    Args:
        experiment: the experiment.
        models: folder of the policy files.
        output: folder of the run; None: ``runs/<name of the experiment's file>``.
        swarms: arenas to play in, instead of random ones; then the file is ``evaluation_swarms.json``.
        direct: folder of a run whose policy was trained on the students' sensors, to compare with.
        record: write each type's figures and costs into its policy file.
        expert: None: the one in ``<run>/expert``, or the experiment's external one. Or anything that
            :func:`kdmarl_core.expert.foreign.wrap` accepts, as for ``distill``.

    Raises:
        KdmarlError: a policy, the expert or the swarm file is missing or does not fit; with ``record``, a policy file
            was distilled from a different expert, or cannot be written.
    """
    if swarms and record:
        raise KdmarlError("--record: only results in random arenas are recorded in policy files; leave out --swarm")
    run, how = experiment.run_folder(output), experiment.evaluate
    places: Sequence[Swarm | None] = swarms or [None]
    num_envs = min(how.envs, how.episodes)
    envs = [experiment.evaluation_env(num_envs, place) for place in places]
    _check_teams(envs, swarms)
    env = envs[0]
    if expert is None:
        expert = experts.load_policy(experiment, env, run / EXPERT_FOLDER)
    else:
        expert = foreign.given(expert, env, experiment.expert)
    policies = {group.name: Policy.load(experiment.policy_path(models, group.name)) for group in env.groups}
    _check_fit(policies, env)
    others = _from_other_experts(policies, fingerprint.sha256(experiment.expert_origin))
    if others and record:
        raise KdmarlError(
            f"--record: {other_experts(others)}; distil and export them from this one, or leave --record out"
        )
    acts, macs = _teams(experiment, env, expert, policies, direct)
    figures = {
        name: _pool([episodes.run(each, act, how.episodes, how.seed) for each in envs]) for name, act in acts.items()
    }
    arenas = np.arange(len(envs)).repeat(how.episodes) if len(envs) > 1 else None
    rows = _rows(env, figures, macs, arenas)
    with replacing(run / ("evaluation_swarms.json" if swarms else "evaluation.json")) as scratch:
        scratch.write_text(json.dumps({"command": command_line(), "rows": rows}, indent=1))
    agents = {group.name: group.agents for group in env.groups}
    evaluation = Evaluation(policies, macs, agents, figures, rows, others)
    if record:
        _record(evaluation, how.seed)
    return evaluation


def _teams(
    experiment: Experiment, env: BatchedEnv, expert: TeamPolicy, policies: dict[str, Policy], direct: Path | None
) -> tuple[dict[str, episodes.Act], dict[str, dict[str, int | None]]]:
    """Team → how it acts, and team → type → multiply-accumulates, for teams with networks."""
    acts: dict[str, episodes.Act] = {"expert": greedy(expert), "students": episodes.PolicyFiles(policies)}
    macs: dict[str, dict[str, int | None]] = {
        "expert": {name: expert.macs(name) for name in policies},
        "students": {name: onnx_export.macs(policy.path) for name, policy in policies.items()},
    }
    if direct:
        own = _directly_trained(direct, env, experiment)
        acts["direct"] = greedy(own)
        macs["direct"] = {name: own.macs(name) for name in policies}
    if env.robot_types:
        acts["still"] = episodes.stand_still
    acts["random"] = episodes.random_commands(experiment.evaluate.seed)
    return acts, macs


def _record(evaluation: Evaluation, seed: int) -> None:
    for name, policy in evaluation.policies.items():
        of = {
            team: {key: value[:, evaluation.agents[name]] for key, value in figure.items()}
            for team, figure in evaluation.figures.items()
        }
        macs = {team: by_type[name] for team, by_type in evaluation.macs.items()}
        results = _results(policy, of, macs, seed)
        onnx_export.record_results(policy.path, msgspec.structs.replace(policy.manifest, results=results))


def other_experts(others: Sequence[Path]) -> str:
    """The start of a sentence on policy files of a different expert."""
    return f"{', '.join(map(str, others))}: distilled from a different expert than this run's"


def _directly_trained(run: Path, env: BatchedEnv, experiment: Experiment) -> TeamPolicy:
    """The policy of ``--direct``, which must have been trained for the experiment's task on the students' sensors."""
    given = f"--direct {run}"
    path = run / EXPERT_FOLDER / "config.yaml"
    if not path.is_file():
        raise KdmarlError(
            f"{given}: has no trained policy; give the --output of kdmarl train --set expert.view=student"
        )
    other = Experiment.load(path)
    if isinstance(other.expert, ForeignConfig):
        raise KdmarlError(f"{given}: its expert was not trained by kdmarl; give a run whose expert was")
    if other.expert.view != STUDENT:
        raise KdmarlError(f"{given}: its policy has the {other.expert.view} view; train it with expert.view=student")
    task = experiment.facts(*other.expert.views)
    return load_policy(other.expert, env, run / EXPERT_FOLDER, other.seed, task)


def _check_teams(envs: Sequence[BatchedEnv], swarms: Sequence[Swarm]) -> None:
    """Check that all swarm files have the same team: their figures are pooled by column."""
    teams = [[(group.name, group.count) for group in env.groups] for env in envs]
    for team, swarm in zip(teams, swarms, strict=False):
        if team != teams[0]:
            raise KdmarlError(
                f"--swarm {swarm.path}: its team or its order differs from {swarms[0].path}; evaluate it alone"
            )


def _pool(parts: list[Figures]) -> Figures:
    """Concatenate the figures of several environments."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _check_fit(policies: dict[str, Policy], env: BatchedEnv) -> None:
    for group in env.groups:
        policy = policies[group.name]
        manifest = policy.manifest
        expected = (group.name, group.observation["student"], group.action, env.control_period)
        if (manifest.robot_type, manifest.observation, manifest.action, manifest.control_period) != expected:
            raise KdmarlError(
                f"{policy.path}: was made for different observations, limits or robots than this experiment's "
                f"'{group.name}'; export it again"
            )


def _from_other_experts(policies: dict[str, Policy], expert: str) -> list[Path]:
    """Policy files that name a different expert than this one."""
    origins = {policy.path: policy.manifest.provenance.expert_sha256 for policy in policies.values()}
    return [path for path, origin in origins.items() if origin not in ("", expert)]


def _rows(
    env: BatchedEnv, figures: dict[str, Figures], macs: dict[str, dict[str, int | None]], arenas: np.ndarray | None
) -> list[Row]:
    """One row for each team and type, and one for the whole team; ``arenas`` as clusters of the statistics."""
    parts = [("team", slice(None)), *((group.name, group.agents) for group in env.groups)]
    rows = []
    for team, figure in figures.items():
        for name, agents in parts:
            row: Row = {"team": team, "robot_type": name, "episodes": len(figure["return"])}
            row["macs"] = macs.get(team, {}).get(name)
            for key, of_all in figure.items():
                values = of_all[:, agents]
                # Episodes without any value are skipped: a time to goal needs an arrival.
                kept = np.isfinite(values).any(1)
                if kept.any():
                    clusters = None if arenas is None else arenas[kept]
                    row[key] = msgspec.to_builtins(statistics.mean(values[kept], clusters=clusters))
            returns = {who: values["return"][:, agents] for who, values in figures.items()}
            retention = statistics.retention(returns[team], returns["expert"], returns["random"], clusters=arenas)
            row["retention"] = msgspec.to_builtins(retention) if retention else None
            rows.append(row)
    return rows


def _results(policy: Policy, of: dict[str, Figures], macs: dict[str, int | None], seed: int) -> Results:
    """The results in a policy file, from one type's figures (team → figure → (episodes, n)) and MACs (of each team)."""
    measured: Row = {}
    for key in (figure.name for figure in RECORDED):
        if key in of["students"]:
            measured[key] = statistics.mean(of["students"][key])
            measured[f"expert_{key}"] = float(of["expert"][key].mean())
    return Results(
        command=command_line(),
        episodes=len(of["students"]["return"]),
        evaluation_seed=seed,
        **measured,
        return_=statistics.mean(of["students"]["return"]),
        expert_return=float(of["expert"]["return"].mean()),
        random_return=float(of["random"]["return"].mean()),
        retention=statistics.retention(of["students"]["return"], of["expert"]["return"], of["random"]["return"]),
        macs=onnx_export.macs(policy.path),
        expert_macs=macs["expert"],
        parameters=onnx_export.parameters(policy.path),
        bytes=onnx_export.weight_bytes(policy.path),
        latency=latency(policy),
        cpu=cpu(),
    )


def latency(policy: Policy, calls: int = 2000) -> float:
    """Median time of one call [s]."""
    observation = np.zeros(policy.manifest.observation_size, np.float32)
    times = []
    for _ in range(calls):
        start = time.perf_counter()
        policy(observation)
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def cpu() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "unknown"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
