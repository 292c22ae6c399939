"""What ``kdmarl benchmark`` does: train, distil and measure every unit of a suite, each kept once it is done."""

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
    """What a unit's students are compared with, kept beside the expert."""

    expert: Means
    random: Means
    seconds: float
    """of training the expert"""


def benchmark(path: Path, only: list[str], output: Path | None, runs: Path, dry_run: bool) -> None:
    """Do what is missing of a suite, one unit after the other; an interrupted run goes on where it was.

    Several processes may do this at once with one file of results: each takes an expert that no other is at.

    Raises:
        KdmarlError: the suite, an experiment or the file of results does not fit, or units have failed, once all others
            are done.
    """
    suite = load_suite(path)
    results = output or Path(RESULTS) / f"{path.stem}.json"
    book = ledger.load(results, suite.title)
    if book.title != suite.title:
        raise KdmarlError(
            f"{results}: holds results of '{book.title}', and the title of {path} is '{suite.title}'; give another "
            "--output, or one of them the other's title"
        )
    everything = units(suite, path)
    chosen = select(everything, only, path)
    keys = {unit.name: key(unit.depends_on) for unit in everything}
    references = {unit.name: key(unit.references) for unit in everything}
    missing = _missing(chosen, book, keys, references)
    _print_costs(chosen, missing, book, runs)
    _print_outdated(book, keys, references)
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

    def anew(book: Ledger) -> Ledger:
        book = msgspec.structs.replace(book, still=book.still | still)
        book = ledger.aggregated(book, notes, suite.about, keys, references)
        return msgspec.structs.replace(book, bars=bars, leads=leads)

    ledger.change(results, suite.title, anew)
    _print_outdated(ledger.load(results), keys, references)
    if failed:
        raise KdmarlError(f"{len(failed)} of {len(missing)} units have failed: {', '.join(failed)}; see above for why")
    Console().print(f"{results}: {len(chosen)} units; kdmarl report {results} makes the page")


def _missing(units: list[Unit], book: Ledger, keys: dict[str, str], references: dict[str, str]) -> list[Unit]:
    """Those of ``units`` that are to be measured: not there, or left out of the page."""
    done = ledger.current(book, keys, references)
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
    """Measure units and keep each: first those whose expert no other process is at, then the rest.

    Returns:
        Names of those that failed; each has been told.
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
                        ledger.change(results, title, lambda book, row=row: book.add(row))  # type: ignore[misc]
            except Timeout:
                busy.append(unit)
            except KdmarlError as error:
                Console(soft_wrap=True).print(f"{unit.name}: failed: {error}", markup=False)
                failed.append(unit.name)
        waiting = busy
    return failed


def _still(everything: list[Unit], book: Ledger, keys: dict[str, str]) -> dict[str, Still]:
    """What robots' tasks with units give to those that stand still, measured unless it is known."""
    done = {unit.task for unit in book.units if keys.get(unit.name) == unit.sha256}
    found = {}
    for unit in {unit.task: unit for unit in everything if unit.task in done}.values():
        if facts := unit.still:
            known = book.still.get(unit.task)
            if not known or known.sha256 != key(facts):
                known = Still(sha256=key(facts), figures=_play(unit, episodes.stand_still))
            found[unit.task] = known
    return found


def _about(parts: dict[str, Any]) -> dict[str, str]:
    return {name: part.about for name, part in parts.items()}


def _expert_folder(unit: Unit, runs: Path) -> Path:
    """Suites share what they train alike."""
    return runs / EXPERTS / f"{unit.experiment.path.stem}_{unit.seed}_{key(unit.origin)}"


def _measure(unit: Unit, sha256: str, command: str, runs: Path) -> Row:
    """Train what the unit needs and play its episodes."""
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
    """Train the unit's expert unless that is done, and measure it and random commands once."""
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
    """Every figure of the held-out episodes, as the mean of each agent."""
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


def _print_costs(chosen: list[Unit], missing: list[Unit], book: Ledger, runs: Path) -> None:
    """What is done, and what the rest will take as far as earlier units tell."""
    table = Table(title=f"{len(missing)} of {len(chosen)} units to do")
    for column in ("task", "method", "units", "to do", "million env steps", "minutes"):
        table.add_column(column, justify="left" if column in ("task", "method") else "right")
    total, unknown = 0.0, False
    for task, method in dict.fromkeys((unit.task, unit.method) for unit in chosen):
        alike = [unit for unit in chosen if (unit.task, unit.method) == (task, method)]
        todo = [unit for unit in missing if (unit.task, unit.method) == (task, method)]
        steps = sum(unit.env_steps["policies"] for unit in todo)
        minutes = _minutes(book, task, method, "policies", len(todo))
        table.add_row(task, method, str(len(alike)), str(len(todo)), f"{steps / 1e6:.1f}", _told(minutes))
        total, unknown = total + (minutes or 0), unknown or minutes is None
    for task in dict.fromkeys(unit.task for unit in chosen):
        folders = {_expert_folder(unit, runs): unit for unit in missing if unit.task == task}
        todo = [unit for folder, unit in folders.items() if not list(folder.glob("references_*.json"))]
        steps = sum(unit.env_steps["expert"] for unit in todo)
        minutes = _minutes(book, task, None, "expert", len(todo))
        table.add_row(task, "expert", "", str(len(todo)), f"{steps / 1e6:.1f}", _told(minutes))
        total, unknown = total + (minutes or 0), unknown or minutes is None
    Console().print(table)
    Console().print(f"about {total:.0f} minutes{' and what has not been measured yet' if unknown else ''}")


def _print_outdated(book: Ledger, keys: dict[str, str], references: dict[str, str]) -> None:
    """Which units are left out of the page, and why."""
    known = {unit.name: unit for unit in book.units}
    for unit in known.values():
        if keys.get(unit.name) == unit.sha256 and math.isnan(unit.retention(TEAM)):
            expert, random = (unit.mean(who, "return", TEAM) for who in ("expert", "random"))
            Console().print(
                f"{unit.name}: left out, since its expert returns {expert:.3f}, no more than random commands "
                f"({random:.3f}), and there is nothing to retain; train it longer, or take this seed out",
                soft_wrap=True,
                markup=False,
            )
    for name, newest in ledger.outdated(book, keys, references).items():
        own, other = (known[each] for each in (name, newest))
        returns = [f"{unit.mean(who, 'return', TEAM):.3f}" for unit in (own, other) for who in ("expert", "random")]
        Console().print(
            f"{name}: left out, since its expert and random commands return {returns[0]} and {returns[1]}, those of "
            f"the newer {newest} {returns[2]} and {returns[3]}; kdmarl benchmark measures it again",
            soft_wrap=True,
            markup=False,
        )


def _minutes(book: Ledger, task: str, method: str | None, part: str, count: int) -> float | None:
    """How long ``count`` units will take, by the median of those that are done; None where none is."""
    known = [
        row.seconds[part] + (0 if method is None else row.seconds["measuring"])
        for row in book.units
        if row.task == task and method in (None, row.method)
    ]
    return count * statistics.median(known) / 60 if known else None if count else 0.0


def _told(minutes: float | None) -> str:
    return "?" if minutes is None else f"{minutes:.0f}"
