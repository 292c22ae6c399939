"""What ``kdmarl evaluate`` does: policy files against expert, direct training and random commands."""

from __future__ import annotations

import json
import shlex
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from kdmarl_core.contract import KdmarlError, Swarm, load_swarm
from kdmarl_core.contract.figures import EVALUATED, RECORDED
from kdmarl_core.contract.manifest import Results
from kdmarl_core.contract.writing import replacing
from kdmarl_core.envs.base import STUDENT, BatchedEnv
from kdmarl_core.envs.particle.particle import ParticleConfig
from kdmarl_core.envs.robots.world import RobotsEnv
from kdmarl_core.envs.smax.config import SmaxConfig
from kdmarl_core.evaluate import episodes, statistics
from kdmarl_core.experiment.experiment import (
    Experiment,
    expert_origin,
    load_experiment,
    make_evaluation_env,
    task_facts,
)
from kdmarl_core.experiment.stages import policy_path, run_folder, task_name
from kdmarl_core.expert import fingerprint
from kdmarl_core.expert.policies import TeamPolicy, observe
from kdmarl_core.expert.train import load_policy
from kdmarl_core.export import onnx_export
from kdmarl_core.runtime import Policy

Figures = dict[str, np.ndarray]
Row = dict[str, Any]


def evaluate(
    config: Path,
    overrides: list[str],
    output: Path | None,
    models: Path,
    direct: Path | None,
    swarm_paths: list[Path],
    record: bool,
) -> None:
    """Measure, print a table, write ``<run>/evaluation.json`` and, if asked, the policy files' results.

    Raises:
        KdmarlError: a policy, the expert or the swarm file is missing or does not fit.
    """
    experiment = load_experiment(config, overrides)
    swarms = [load_swarm(path, allow_outside=True) for path in swarm_paths]  # runs none of their policies
    if swarms and record:
        raise KdmarlError("--record: results in policy files are of random arenas; leave out --swarm")
    run = run_folder(config, output)
    num_envs = min(experiment.evaluate.envs, experiment.evaluate.episodes)
    places: list[Swarm | None] = [*swarms] or [None]
    envs = [make_evaluation_env(experiment, config, num_envs, place) for place in places]
    _check_teams(envs, swarm_paths)
    env = envs[0]
    task = task_facts(experiment, config, *experiment.expert.views)
    expert = load_policy(experiment.expert, env, run / "expert", experiment.seed, task)
    policies = {group.name: Policy.load(policy_path(models, experiment, group.name)) for group in env.groups}
    _check_fit(policies, env)
    strangers = _strangers(policies, fingerprint.sha256(expert_origin(experiment, config)))
    if strangers and record:
        raise KdmarlError(f"--record: {strangers}; distil and export them from this one, or leave --record out")
    acts: dict[str, episodes.Act] = {"expert": greedy(expert), "students": episodes.PolicyFiles(policies)}
    macs = {
        "expert": {name: expert.macs(name) for name in policies},
        "students": {name: onnx_export.macs(policy.path) for name, policy in policies.items()},
    }
    if direct:
        own = _directly_trained(direct, env, experiment, config)
        acts["direct"] = greedy(own)
        macs["direct"] = {name: own.macs(name) for name in policies}
    if isinstance(env, RobotsEnv):
        acts["still"] = episodes.stand_still
    acts["random"] = episodes.random_commands(experiment.evaluate.seed)
    figures = {
        name: _pool([episodes.run(each, act, experiment.evaluate.episodes, experiment.evaluate.seed) for each in envs])
        for name, act in acts.items()
    }
    arenas = np.arange(len(envs)).repeat(experiment.evaluate.episodes) if len(envs) > 1 else None
    rows = _rows(env, figures, macs, arenas)
    _print(rows, experiment, swarms)
    if strangers:
        Console(soft_wrap=True).print(f"{strangers}: retention compares them with this one", markup=False)
    _write(run / ("evaluation_swarms.json" if swarms else "evaluation.json"), rows)
    hopeless = [row["robot_type"] for row in rows if row["team"] == "expert" and row["retention"] is None]
    if hopeless:
        Console(soft_wrap=True).print(
            f"expert ({', '.join(hopeless)}): returns no more than random commands, and there is nothing to retain; "
            "train it longer"
        )
    if record:
        for group in env.groups:
            of = {
                team: {key: value[:, group.agents] for key, value in figure.items()} for team, figure in figures.items()
            }
            cost = {team: by_type[group.name] for team, by_type in macs.items()}
            _record(policies[group.name], of, cost, experiment.evaluate.seed)


def _directly_trained(run: Path, env: BatchedEnv, experiment: Experiment, config: Path) -> TeamPolicy:
    """The policy of ``--direct``, which must have learnt the experiment's task through the students' sensors."""
    given = f"--direct {run}"
    path = run / "expert" / "config.yaml"
    if not path.is_file():
        raise KdmarlError(
            f"{given}: has no trained policy; give the --output of kdmarl train --set expert.view=student"
        )
    other = load_experiment(path, [])
    if other.expert.view != STUDENT:
        raise KdmarlError(f"{given}: its policy sees as the {other.expert.view}; train it with expert.view=student")
    task = task_facts(experiment, config, *other.expert.views)
    return load_policy(other.expert, env, run / "expert", other.seed, task)


def _write(path: Path, rows: list[Row]) -> None:
    with replacing(path) as scratch:
        scratch.write_text(json.dumps({"command": command_line(), "rows": rows}, indent=1))


def command_line() -> str:
    """The command line as it was given."""
    return shlex.join(["kdmarl", *sys.argv[1:]])


def _check_teams(envs: list[BatchedEnv], paths: list[Path]) -> None:
    """Figures of several swarm files are pooled column by column."""
    teams = [[(group.name, group.count) for group in env.groups] for env in envs]
    for team, path in zip(teams, paths, strict=False):
        if team != teams[0]:
            raise KdmarlError(
                f"--swarm {path}: has another team, or in another order, than {paths[0]}; evaluate it alone"
            )


def _pool(parts: list[Figures]) -> Figures:
    """The figures of several environments as of one."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def greedy(policy: TeamPolicy) -> episodes.Act:
    """Greedy commands of a torch policy."""

    @torch.no_grad()
    def act(env: BatchedEnv) -> dict[str, np.ndarray]:
        distributions = policy(observe(env, policy.view))
        commands = policy.command({name: d.mode() for name, d in distributions.items()})
        return {name: command.numpy() for name, command in commands.items()}

    return act


def _check_fit(policies: dict[str, Policy], env: BatchedEnv) -> None:
    for group in env.groups:
        policy = policies[group.name]
        manifest = policy.manifest
        expected = (group.name, group.observation["student"], group.action, env.control_period)
        if (manifest.robot_type, manifest.observation, manifest.action, manifest.control_period) != expected:
            raise KdmarlError(
                f"{policy.path}: was made for other observations, limits or robots than this experiment's "
                f"'{group.name}'; export it again"
            )


def _strangers(policies: dict[str, Policy], expert: str) -> str:
    """The start of a sentence on policy files that know of another expert than this one; empty where none does."""
    origins = {policy.path: policy.manifest.provenance.expert_sha256 for policy in policies.values()}
    others = [str(path) for path, origin in origins.items() if origin not in ("", expert)]
    return f"{', '.join(others)}: distilled from another expert than this run's" if others else ""


def _rows(
    env: BatchedEnv, figures: dict[str, Figures], macs: dict[str, dict[str, int]], arenas: np.ndarray | None
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
                # Episodes without any value are left out: a time to goal needs an arrival.
                kept = np.isfinite(values).any(1)
                if kept.any():
                    clusters = None if arenas is None else arenas[kept]
                    row[key] = msgspec.to_builtins(statistics.mean(values[kept], clusters=clusters))
            returns = {who: values["return"][:, agents] for who, values in figures.items()}
            retention = statistics.retention(returns[team], returns["expert"], returns["random"], clusters=arenas)
            row["retention"] = msgspec.to_builtins(retention) if retention else None
            rows.append(row)
    return rows


def _print(rows: list[Row], experiment: Experiment, swarms: list[Swarm]) -> None:
    sources = {ParticleConfig: "mpe2", SmaxConfig: "jaxmarl"}
    source = sources.get(type(experiment.task))
    random = f"{task_name(experiment)} of {source}" if source else "random arenas"
    where = random if not swarms else f"{len(swarms)} arenas" if len(swarms) > 1 else swarms[0].name
    table = Table(title=f"{rows[0]['episodes']} held-out episodes in {where}, seed {experiment.evaluate.seed}")
    columns = {key: title for key, title in EVALUATED.items() if any(key in row for row in rows)}
    for column in ("team", "robots", *columns.values(), "return", "retention", "MACs"):
        table.add_column(column, justify="left" if column in ("team", "robots") else "right")
    last = {row["team"]: row for row in rows}
    for row in rows:
        table.add_row(
            row["team"], row["robot_type"], *(_cell(row.get(key)) for key in columns),
            _cell(row["return"]), _cell(row["retention"], interval=True),
            f"{row['macs']:,}" if row["macs"] else "-", end_section=row is last[row["team"]],
        )  # fmt: skip
    # Without a terminal rich assumes 80 columns, which breaks the intervals.
    console = Console()
    (console if console.is_terminal else Console(width=120)).print(table)


def _cell(estimate: dict[str, float] | None, interval: bool = False) -> str:
    if estimate is None:
        return "-"
    text = f"{estimate['mean']:.3f}"
    return f"{text} [{estimate['low']:.3f}, {estimate['high']:.3f}]" if interval else text


def _record(policy: Policy, of: dict[str, Figures], macs: dict[str, int], seed: int) -> None:
    """Put one type's figures (team → figure → (episodes, n)) and MACs (of each team) into its policy file."""
    measured: Row = {}
    for key in (figure.name for figure in RECORDED):
        if key in of["students"]:
            measured[key] = statistics.mean(of["students"][key])
            measured[f"expert_{key}"] = float(of["expert"][key].mean())
    results = Results(
        command=command_line(),
        episodes=len(of["students"]["return"]),
        evaluation_seed=seed,
        **measured,
        return_=statistics.mean(of["students"]["return"]),
        expert_return=float(of["expert"]["return"].mean()),
        random_return=float(of["random"]["return"].mean()),
        retention=statistics.retention(of["students"]["return"], of["expert"]["return"], of["random"]["return"]),
        macs=macs["students"],
        expert_macs=macs["expert"],
        parameters=onnx_export.parameters(policy.path),
        bytes=onnx_export.weight_bytes(policy.path),
        latency=latency(policy),
        cpu=cpu(),
    )
    onnx_export.record_results(policy.path, msgspec.structs.replace(policy.manifest, results=results))
    Console().print(
        f"{policy.path}: results recorded; {macs['expert'] / macs['students']:.1f}x fewer MACs than the expert"
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
