"""What ``kdmarl benchmark`` does: train, distil and measure every unit of a suite, saving each as it is finished."""

from __future__ import annotations

import math
import statistics
import time
from pathlib import Path
from typing import Any, cast

import msgspec
from filelock import FileLock, Timeout
from rich.console import Console
from rich.table import Table

from kdmarl_core.benchmark import ledger
from kdmarl_core.benchmark.ledger import TEAM, Cost, Ledger, Means, Row, Still
from kdmarl_core.benchmark.suite import Unit, expert_macs, key, load_suite, select, units
from kdmarl_core.contract import KdmarlError
from kdmarl_core.contract.writing import replacing, writing
from kdmarl_core.envs.base import BatchedEnv
from kdmarl_core.evaluate import episodes
from kdmarl_core.experiment import experts, stages
from kdmarl_core.experiment.provenance import RESULTS, commit
from kdmarl_core.expert import train as stage_1
from kdmarl_core.expert.policies import DecentralizedPolicy, greedy
from kdmarl_core.expert.train import ExpertConfig
from kdmarl_core.export import onnx_export
from kdmarl_core.export.policies import write_policies
from kdmarl_core.runtime import Policy

EXPERTS = "experts"
"""Folder of a run's experts."""


class References(msgspec.Struct, frozen=True, kw_only=True):
    """What a unit's students are compared with, stored with the expert."""

    expert: Means
    random: Means
    seconds: float
    """of training the expert"""


def benchmark(path: Path, only: list[str], output: Path | None, runs: Path, dry_run: bool) -> None:
    """Run the missing units of a suite one after the other; an interrupted run resumes.

    Several processes may do this at once with one result file: each takes an expert that no other is working on.

    Raises:
        KdmarlError: the suite, an experiment or the result file does not fit, or (after all others have been run) units
            have failed.
    """
    suite = load_suite(path)
    results = output or Path(RESULTS) / f"{path.stem}.json"
    recorded = ledger.load(results, suite.title)
    if recorded.title != suite.title:
        raise KdmarlError(
            f"{results}: has results of '{recorded.title}', but the title of {path} is '{suite.title}'; give another "
            "--output, or change the title"
        )
    everything = units(suite, path)
    chosen = select(everything, only, path)
    keys = {unit.name: key(unit.depends_on) for unit in everything}
    references = {unit.name: key(unit.references) for unit in everything}
    missing = _missing(chosen, recorded, keys, references)
    _print_costs(chosen, missing, recorded, runs)
    _print_outdated(recorded, keys, references)
    if dry_run:
        return
    failed = _do(missing, keys, references, path, results, suite.title, runs)
    notes: dict[str, dict[str, str]] = {
        "methods": _about(suite.methods),
        "stages": {name: method.stage for name, method in suite.methods.items()},
        "tasks": _about(suite.tasks),
    }
    bars = {name: method.bar for name, method in suite.methods.items() if method.bar}
    leads = {name: method.lead for name, method in suite.methods.items() if method.lead is not None}
    still = _still(everything, ledger.load(results, suite.title), keys)

    def aggregate(recorded: Ledger) -> Ledger:
        recorded = msgspec.structs.replace(recorded, still=recorded.still | still)
        recorded = ledger.aggregated(recorded, notes, suite.about, keys, references)
        return msgspec.structs.replace(recorded, bars=bars, leads=leads)

    ledger.change(results, suite.title, aggregate)
    _print_outdated(ledger.load(results), keys, references)
    if failed:
        raise KdmarlError(
            f"{len(failed)} of {len(missing)} units have failed: {', '.join(failed)}; see the errors above"
        )
    Console().print(f"{results}: {len(chosen)} units; kdmarl report {results} makes the page")


def _missing(units: list[Unit], recorded: Ledger, keys: dict[str, str], references: dict[str, str]) -> list[Unit]:
    """Those of ``units`` that must be measured: missing, or left out of the page."""
    done = ledger.current(recorded, keys, references)
    return [unit for unit in units if unit.name not in done]


def _do(
    units: list[Unit],
    keys: dict[str, str],
    references: dict[str, str],
    suite: Path,
    results: Path,
    title: str,
    runs: Path,
) -> list[str]:
    """Measure and save units: first those whose expert no other process is working on, then the rest.

    Returns:
        Names of those that failed, whose errors have been printed.
    """
    failed = []
    with writing(runs / EXPERTS):
        (runs / EXPERTS).mkdir(parents=True, exist_ok=True)
    waiting = units
    for patience in (0, -1):
        busy = []
        for unit in waiting:
            try:
                with FileLock(_expert_folder(unit, runs).with_suffix(".lock"), timeout=patience):
                    if _missing([unit], ledger.load(results, title), keys, references):
                        Console().print(f"{units.index(unit) + 1} of {len(units)}: {unit.name}")
                        command = f"kdmarl benchmark {suite} --only {unit.name}"
                        row = _measure(unit, keys[unit.name], command, runs)
                        ledger.change(results, title, lambda recorded, row=row: recorded.add(row))  # type: ignore[misc]
            except Timeout:
                busy.append(unit)
            except KdmarlError as error:
                Console(soft_wrap=True).print(f"{unit.name}: failed: {error}", markup=False)
                failed.append(unit.name)
        waiting = busy
    return failed


def _still(everything: list[Unit], recorded: Ledger, keys: dict[str, str]) -> dict[str, Still]:
    """Figures of robots that stand still, for robot tasks with units; measured if missing."""
    done = {unit.task for unit in recorded.units if keys.get(unit.name) == unit.sha256}
    found = {}
    for unit in {unit.task: unit for unit in everything if unit.task in done}.values():
        if facts := unit.still:
            known = recorded.still.get(unit.task)
            if not known or known.sha256 != key(facts):
                known = Still(sha256=key(facts), figures=_play(unit, episodes.stand_still))
            found[unit.task] = known
    return found


def _about(parts: dict[str, Any]) -> dict[str, str]:
    return {name: part.about for name, part in parts.items()}


def _expert_folder(unit: Unit, runs: Path) -> Path:
    """Folder of a unit's expert; suites share experts with the same settings."""
    return runs / EXPERTS / f"{unit.experiment.path.stem}_{unit.seed}_{key(unit.origin)}"


def _measure(unit: Unit, sha256: str, command: str, runs: Path) -> Row:
    """Train the unit's policies and play its episodes."""
    experiment = unit.experiment
    folder = runs / "units" / f"{unit.name}_{sha256}"
    references = _references(unit, runs)
    started = time.perf_counter()
    if unit.alone:
        policies = _train_alone(unit, unit.alone, folder)
    else:
        policies = stages.distilled(experiment, _expert_folder(unit, runs), folder)
    trained = time.perf_counter()
    env = experiment.env(4)
    made = stages.manifests(experiment, env)
    written = write_policies(policies, made, folder / "models", env, experiment.seed)
    files = {name: Policy.load(each.path) for name, each in written.items()}
    figures = _play(unit, episodes.PolicyFiles(files))
    macs = expert_macs(experiment, env)
    return Row(
        task=unit.task,
        method=unit.method,
        seed=unit.seed,
        sha256=sha256,
        commit=commit(experiment.folder),
        command=command,
        episodes=experiment.evaluate.episodes,
        students=figures,
        expert=references.expert,
        random=references.random,
        types={group.name: list(range(group.agents.start, group.agents.stop)) for group in env.groups},
        costs={name: _cost(file, macs[name]) for name, file in files.items()},
        env_steps=unit.env_steps,
        seconds={
            "expert": references.seconds,
            "policies": trained - started,
            "measuring": time.perf_counter() - trained,
        },
    )


def _references(unit: Unit, runs: Path) -> References:
    """Train the unit's expert if necessary, and measure it and random commands once."""
    experiment = unit.experiment
    folder = _expert_folder(unit, runs)
    path = folder / f"references_{key({'evaluate': unit.measured})}.json"
    if path.exists():
        return msgspec.json.decode(path.read_bytes(), type=References)
    expert = experts.prepare(experiment, folder)
    references = References(
        seconds=experts.seconds(folder),
        expert=_play(unit, greedy(expert)),
        random=_play(unit, episodes.random_commands(experiment.evaluate.seed)),
    )
    with replacing(path) as scratch:
        scratch.write_bytes(msgspec.json.encode(references))
    return references


def _train_alone(unit: Unit, how: ExpertConfig, folder: Path) -> DecentralizedPolicy:
    """A team of the students' sizes and sensors, or of the expert's size, without an expert."""
    seen = unit.experiment.facts(*how.views)
    policy = stage_1.train(how, unit.experiment.env, folder, unit.seed, task=seen)
    return cast(DecentralizedPolicy, policy.eval())


def _play(unit: Unit, act: episodes.Act) -> Means:
    """Every figure on the held-out episodes, as the mean of each agent."""
    evaluate = unit.experiment.evaluate
    env: BatchedEnv = unit.experiment.evaluation_env(min(evaluate.envs, evaluate.episodes))
    figures = episodes.run(env, act, evaluate.episodes, evaluate.seed)
    return {name: ledger.agent_means(values) for name, values in figures.items()}


def _cost(file: Policy, expert_macs: int) -> Cost:
    return Cost(
        macs=onnx_export.macs(file.path),
        expert_macs=expert_macs,
        parameters=onnx_export.parameters(file.path),
        bytes=onnx_export.weight_bytes(file.path),
    )


def _print_costs(chosen: list[Unit], missing: list[Unit], recorded: Ledger, runs: Path) -> None:
    """Print what is done, and how long the rest will take, estimated from earlier units."""
    table = Table(title=f"{len(missing)} of {len(chosen)} units to do")
    for column in ("task", "method", "units", "to do", "million env steps", "minutes"):
        table.add_column(column, justify="left" if column in ("task", "method") else "right")
    total, unknown = 0.0, False
    for task, method in dict.fromkeys((unit.task, unit.method) for unit in chosen):
        alike = [unit for unit in chosen if (unit.task, unit.method) == (task, method)]
        todo = [unit for unit in missing if (unit.task, unit.method) == (task, method)]
        steps = sum(unit.env_steps["policies"] for unit in todo)
        minutes = _minutes(recorded, task, method, "policies", len(todo))
        table.add_row(task, method, str(len(alike)), str(len(todo)), f"{steps / 1e6:.1f}", _shown(minutes))
        total, unknown = total + (minutes or 0), unknown or minutes is None
    for task in dict.fromkeys(unit.task for unit in chosen):
        folders = {_expert_folder(unit, runs): unit for unit in missing if unit.task == task}
        todo = [unit for folder, unit in folders.items() if not list(folder.glob("references_*.json"))]
        steps = sum(unit.env_steps["expert"] for unit in todo)
        minutes = _minutes(recorded, task, None, "expert", len(todo))
        table.add_row(task, "expert", "", str(len(todo)), f"{steps / 1e6:.1f}", _shown(minutes))
        total, unknown = total + (minutes or 0), unknown or minutes is None
    Console().print(table)
    Console().print(f"about {total:.0f} minutes{', plus units without an estimate (?)' if unknown else ''}")


def _print_outdated(recorded: Ledger, keys: dict[str, str], references: dict[str, str]) -> None:
    """Print which units are left out of the page, and why."""
    known = {unit.name: unit for unit in recorded.units}
    for unit in known.values():
        if keys.get(unit.name) == unit.sha256 and math.isnan(unit.retention(TEAM)):
            expert, random = (unit.mean(who, "return", TEAM) for who in ("expert", "random"))
            Console().print(
                f"{unit.name}: left out, since its expert returns {expert:.3f}, no more than random commands "
                f"({random:.3f}), so there is nothing to retain; train it longer, or remove this seed",
                soft_wrap=True,
                markup=False,
            )
    for name, newest in ledger.outdated(recorded, keys, references).items():
        own, other = (known[each] for each in (name, newest))
        returns = [f"{unit.mean(who, 'return', TEAM):.3f}" for unit in (own, other) for who in ("expert", "random")]
        Console().print(
            f"{name}: left out, since its expert and random commands return {returns[0]} and {returns[1]}, but those "
            f"of the newer {newest} {returns[2]} and {returns[3]}; run kdmarl benchmark to measure it again",
            soft_wrap=True,
            markup=False,
        )


def _minutes(recorded: Ledger, task: str, method: str | None, part: str, count: int) -> float | None:
    """Estimated time of ``count`` units [minutes], from the median of finished ones; None without any."""
    known = [
        row.seconds[part] + (0 if method is None else row.seconds["measuring"])
        for row in recorded.units
        if row.task == task and method in (None, row.method)
    ]
    return count * statistics.median(known) / 60 if known else None if count else 0.0


def _shown(minutes: float | None) -> str:
    return "?" if minutes is None else f"{minutes:.0f}"
