"""The file of a benchmark's results: what every unit measured, and what that comes to over seeds and tasks.

Interquartile means with stratified bootstrap intervals as in Agarwal et al., "Deep Reinforcement Learning at the Edge
of the Statistical Precipice" (arXiv 2108.13264): every task is a stratum, seeds are drawn anew within each.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from filelock import FileLock
from scipy import stats

from kdmarl_core.contract import KdmarlError
from kdmarl_core.contract.writing import replacing, writing

SCHEMA_VERSION = 1
RESAMPLES = 2000
TEAM = "team"
"""Name of the whole team beside those of robot types."""
Means = dict[str, list[float | None]]
"""Figure → mean of each agent over episodes; None where no episode has a value, as that of a goal never reached"""


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What one decision of one type costs."""

    macs: int
    expert_macs: int
    parameters: int
    bytes: int
    """of weights"""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """What one unit measured: one method on one task with one seed."""

    task: str
    method: str
    seed: int
    sha256: str
    """of what the figures depend on, shortened"""
    commit: str
    command: str
    episodes: int
    students: Means
    expert: Means
    random: Means
    types: dict[str, list[int]]
    """robot type → its agents' places"""
    costs: dict[str, Cost]
    env_steps: dict[str, int]
    seconds: dict[str, float]

    @property
    def name(self) -> str:
        """Such as ``spread/kdmarl/1``."""
        return f"{self.task}/{self.method}/{self.seed}"

    def agents(self, student: str) -> list[int]:
        """The places of one type's agents, or of the whole team."""
        return self.types[student] if student != TEAM else sorted(itertools.chain(*self.types.values()))

    def mean(self, who: str, figure: str, student: str) -> float:
        """Mean of a figure of ``students``, ``expert`` or ``random`` over those agents that have one; NaN if none."""
        return _over_agents(getattr(self, who), figure, self.agents(student))

    def retention(self, student: str, zero: Means | None = None) -> float:
        """(student − zero) / (expert − zero) of mean returns; zero is random commands unless given.

        NaN where the expert is no better than zero: there is nothing to retain.
        """
        agents = self.agents(student)
        teams = (self.students, self.expert, zero or self.random)
        own, expert, low = (_over_agents(means, "return", agents) for means in teams)
        return (own - low) / (expert - low) if expert > low else math.nan

    @property
    def worst(self) -> float:
        """Retention of the agent that loses most, of those whose expert is better than random commands."""
        own, expert, random = (_array(getattr(self, who)["return"]) for who in ("students", "expert", "random"))
        own, expert, random = (values[expert > random] for values in (own, expert, random))
        return float(((own - random) / (expert - random)).min()) if own.size else math.nan


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """Interquartile mean with its 95 % interval."""

    iqm: float
    low: float
    high: float


class Bar(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a method is held to on every task."""

    retention: float
    macs_ratio: float
    """how many times fewer multiply-accumulates than the expert's"""


class Still(msgspec.Struct, frozen=True, kw_only=True):
    """What a task gives to robots that stand still."""

    sha256: str
    """of what the figures depend on, shortened"""
    figures: Means


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file."""

    schema_version: int = SCHEMA_VERSION
    title: str
    about: str = ""
    notes: dict[str, dict[str, str]] = {}
    """``methods`` and ``tasks`` → name → a few words; ``stages`` → method → how its policies come about"""
    rows: list[dict[str, Any]] = []
    """task, method, student (a type or ``team``) → figures over seeds"""
    against: list[dict[str, Any]] = []
    """every method but the first → how much more the first retains, over the tasks that both have done"""
    bars: dict[str, Bar] = {}
    """method → what it is held to"""
    leads: dict[str, float] = {}
    """method → by how much more than this the first is held to be ahead of it, on the mean over tasks"""
    planned: int = 0
    """how many units the benchmark has"""
    still: dict[str, Still] = {}
    """task → what it gives to robots that stand still; of robots only"""
    units: list[Row] = []

    @property
    def methods(self) -> list[str]:
        """Those that have rows, in the order of the benchmark file."""
        done = {row["method"] for row in self.rows}
        return [method for method in self.notes["methods"] if method in done]

    @property
    def team_rows(self) -> list[dict[str, Any]]:
        """Those of whole teams."""
        return [row for row in self.rows if row["student"] == TEAM]

    def add(self, row: Row) -> Ledger:
        """The same with ``row`` in place of an older one of its name."""
        kept = [other for other in self.units if other.name != row.name]
        return msgspec.structs.replace(self, units=[*kept, row])


def load(path: Path, title: str = "") -> Ledger:
    """The ledger at ``path``; an empty one with ``title`` where there is none.

    Raises:
        KdmarlError: it cannot be read, or is none.
    """
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Ledger)
    except FileNotFoundError:
        return Ledger(title=title)
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise KdmarlError(f"{path}: is no file of benchmark results ({error}); give another --output") from None
    if found.schema_version != SCHEMA_VERSION:
        raise KdmarlError(
            f"{path}: schema_version is {found.schema_version}, this version reads {SCHEMA_VERSION}; "
            "give another --output"
        )
    return found


def save(ledger: Ledger, path: Path) -> None:
    """Write it; a reader finds the old file or the new one.

    Raises:
        KdmarlError: it cannot be written.
    """
    data = msgspec.json.format(msgspec.json.encode(ledger), indent=1)
    with replacing(path) as scratch:
        scratch.write_bytes(data)


def change(path: Path, title: str, how: Callable[[Ledger], Ledger]) -> None:
    """Read, change and write the ledger at ``path`` while no other process does so.

    Raises:
        KdmarlError: it cannot be read or written.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            save(how(load(path, title)), path)


def agent_means(values: np.ndarray) -> list[float | None]:
    """(episodes, N) → mean of each agent; NaN (no value in that episode) is left out, and gives None if it is all."""
    return [_known(_mean(of_agent)) for of_agent in values.T]


def _over_agents(means: Means, figure: str, agents: list[int]) -> float:
    """Mean of a figure over those of ``agents`` that have one; NaN if none."""
    return _mean([means[figure][agent] for agent in agents])


def _mean(values: Sequence[float | None] | np.ndarray) -> float:
    """Mean of those that are neither None nor NaN; NaN without any."""
    known = _array(values)
    known = known[~np.isnan(known)]
    return float(known.mean()) if known.size else math.nan


def _array(values: Sequence[float | None] | np.ndarray) -> np.ndarray:
    """With NaN for None."""
    return np.array(values, np.float64)


def _known(value: float) -> float | None:
    """With None for NaN, as JSON has it."""
    return None if math.isnan(value) else value


def strangers(ledger: Ledger, keys: dict[str, str], references: dict[str, str]) -> dict[str, str]:
    """Units that were measured against other figures of expert or random commands than newer ones.

    An expert that is trained again by changed code is another, though its settings are the same.

    Args:
        ledger: with units, the newest last.
        keys: name of every unit → what its ``sha256`` is now; others do not count.
        references: name of every unit → what its expert's and random figures depend on.

    Returns:
        Name of each such unit → name of the newest of its task and seed with the same ``references``.
    """
    newest: dict[tuple[str, int, str], Row] = {}
    found = {}
    for unit in reversed(ledger.units):
        if keys.get(unit.name) == unit.sha256:
            other = newest.setdefault((unit.task, unit.seed, references[unit.name]), unit)
            if not (_alike(unit.expert, other.expert) and _alike(unit.random, other.random)):
                found[unit.name] = other.name
    return found


def _alike(one: Means, two: Means) -> bool:
    return one.keys() == two.keys() and all(
        np.allclose(_array(one[name]), _array(two[name]), rtol=0, atol=1e-9, equal_nan=True) for name in one
    )


def current(ledger: Ledger, keys: dict[str, str], references: dict[str, str]) -> dict[str, Row]:
    """Name → each unit that counts: it depends on what it would now, and is none of :func:`strangers`.

    Args:
        ledger: with units.
        keys: as for :func:`strangers`; the units come in their order.
        references: as for :func:`strangers`.
    """
    strange = strangers(ledger, keys, references)
    known = {unit.name: unit for unit in ledger.units if keys.get(unit.name) == unit.sha256}
    return {name: known[name] for name in keys if name in known and name not in strange}


def aggregated(
    ledger: Ledger,
    notes: dict[str, dict[str, str]],
    about: str,
    keys: dict[str, str],
    references: dict[str, str],
) -> Ledger:
    """The same with ``rows``, ``against`` and ``planned`` made anew.

    Args:
        ledger: with units; those that are not :func:`current`, or have no retention, stay and do not count.
        notes: as in the ledger; methods stand in the order of ``methods``.
        about: as in the ledger.
        keys: as for :func:`strangers`; tasks stand in their order.
        references: as for :func:`strangers`.
    """
    cells: dict[tuple[str, str], list[Row]] = {}
    tasks, methods = list(dict.fromkeys(name.partition("/")[0] for name in keys)), list(notes["methods"])
    counting = [unit for unit in current(ledger, keys, references).values() if not math.isnan(unit.retention(TEAM))]
    for unit in sorted(counting, key=lambda unit: (tasks.index(unit.task), methods.index(unit.method))):
        cells.setdefault((unit.task, unit.method), []).append(unit)
    rows = [
        _row(task, method, student, sorted(of, key=lambda unit: unit.seed), ledger.still.get(task))
        for (task, method), of in cells.items()
        for student in ((TEAM, *of[0].types) if len(of[0].types) > 1 else (TEAM,))
    ]
    made = msgspec.structs.replace(ledger, notes=notes, about=about, rows=rows, planned=len(keys))
    return msgspec.structs.replace(made, against=_against(cells, made.methods))


def _row(task: str, method: str, student: str, of: list[Row], still: Still | None) -> dict[str, Any]:
    costs = [of[0].costs[name] for name in ([student] if student != TEAM else of[0].costs)]
    counts = [len(of[0].types[name]) for name in ([student] if student != TEAM else of[0].costs)]
    row: dict[str, Any] = {
        "task": task,
        "method": method,
        "student": student,
        "seeds": [unit.seed for unit in of],
        "retention": _over_seeds([unit.retention(student) for unit in of]),
        "macs": round(_over(costs, counts, "macs"), 1),
        "macs_ratio": round(_over(costs, counts, "expert_macs") / _over(costs, counts, "macs"), 2),
        "params": round(_over(costs, counts, "parameters"), 1),
        "bytes": round(_over(costs, counts, "bytes"), 1),
        "minutes": {part: round(float(np.mean([unit.seconds[part] for unit in of])) / 60, 2) for part in of[0].seconds},
        "command": of[0].command.replace(of[0].name, f"'{task}/{method}/*'"),
    }
    for who in ("students", "expert", "random"):
        for figure in of[0].students:
            key = figure if who == "students" else f"{who}_{figure}"
            row[key] = _known(_rounded(_mean([unit.mean(who, figure, student) for unit in of])))
    if still:
        row["still_return"] = _rounded(_over_agents(still.figures, "return", of[0].agents(student)))
        row["retention_from_still"] = _over_seeds([unit.retention(student, still.figures) for unit in of])
    if student == TEAM:
        row["worst_robot"] = _over_seeds([unit.worst for unit in of])
    return row


def _over_seeds(scores: list[float]) -> dict[str, float | None]:
    """:func:`interval` of one task's scores, for JSON; without values if one is NaN."""
    if any(map(math.isnan, scores)):
        return {"iqm": None, "low": None, "high": None}
    found = interval(np.array(scores)[:, None])
    return {"iqm": found.iqm, "low": found.low, "high": found.high}


def _over(costs: list[Cost], counts: list[int], key: str) -> float:
    """Mean over the robots."""
    total = sum(getattr(cost, key) * count for cost, count in zip(costs, counts, strict=True))
    return float(total / sum(counts))


def _against(cells: dict[tuple[str, str], list[Row]], methods: list[str]) -> list[dict[str, Any]]:
    """The first method less each other, over the tasks that both have done and the seeds that both have of each."""
    found = []
    for method in methods[1:]:
        pairs: dict[str, list[tuple[float, float]]] = {}
        for task in [task for task, of in cells if of == method]:
            first = {unit.seed: unit.retention(TEAM) for unit in cells.get((task, methods[0]), [])}
            other = {unit.seed: unit.retention(TEAM) for unit in cells[task, method]}
            if both := [(first[seed], other[seed]) for seed in other if seed in first]:
                pairs[task] = both
        if pairs:
            means = np.array([np.mean(both, 0) for both in pairs.values()])
            low, high = _bounds([np.subtract(*np.array(both).T) for both in pairs.values()])
            found.append(
                {
                    "method": method,
                    "tasks": list(pairs),
                    "pairs": sum(map(len, pairs.values())),
                    "first": _rounded(means[:, 0].mean()),
                    "other": _rounded(means[:, 1].mean()),
                    "difference": _rounded(np.subtract(*means.T).mean()),
                    "low": low,
                    "high": high,
                    "better": [task for task, (one, other) in zip(pairs, means, strict=True) if one > other],
                }
            )
    return found


def _bounds(strata: list[np.ndarray]) -> tuple[float | None, float | None]:
    """95 % interval of the mean over tasks of means over seeds, by stratified bootstrap; None where a task has one."""
    if min(map(len, strata)) < 2:
        return None, None
    return _bootstrap(strata, lambda *drawn, axis: np.mean([values.mean(axis) for values in drawn], 0))


def interval(scores: np.ndarray, seed: int = 0) -> Interval:
    """Interquartile mean of ``scores`` (seeds, tasks) and its 95 % interval by stratified bootstrap over seeds.

    With one seed the interval has no width.
    """
    low = high = iqm = _rounded(stats.trim_mean(scores, 0.25, axis=None))
    if scores.shape[0] > 1:
        low, high = _bootstrap(
            list(scores.T), lambda *drawn, axis: stats.trim_mean(np.concatenate(drawn, axis), 0.25, axis=axis), seed
        )
    return Interval(iqm=iqm, low=low, high=high)


def _bootstrap(strata: list[np.ndarray], statistic: Callable[..., Any], seed: int = 0) -> tuple[float, float]:
    """95 % interval of ``statistic`` over ``strata``, values of each drawn anew."""
    bounds = stats.bootstrap(
        tuple(strata), statistic, n_resamples=RESAMPLES, method="percentile", rng=np.random.default_rng(seed)
    ).confidence_interval
    return _rounded(bounds.low), _rounded(bounds.high)


def _rounded(value: float) -> float:
    return round(float(value), 5)
