"""Aggregation over seeds: a row for each task, method and student, and the first method against the others."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kdmarl_core.benchmark.intervals import interval, interval_of_mean, rounded
from kdmarl_core.benchmark.measured import TEAM, Cost, Means, Row, known, mean, over_agents

Cells = dict[tuple[str, str], list[Row]]
"""Task and method → its units"""


def cells(units: list[Row], tasks: list[str], methods: list[str]) -> Cells:
    """The units with a retention, by task and method in the order of ``tasks`` and ``methods``."""
    found: Cells = {}
    counting = [unit for unit in units if not math.isnan(unit.retention(TEAM))]
    for unit in sorted(counting, key=lambda unit: (tasks.index(unit.task), methods.index(unit.method))):
        found.setdefault((unit.task, unit.method), []).append(unit)
    return found


def rows(units: Cells, still: dict[str, Means]) -> list[dict[str, Any]]:
    """Figures over seeds of every task, method and student: the team and, where there are several, its types.

    Args:
        units: the units to aggregate.
        still: task → figures of robots that stand still, for robot tasks.
    """
    return [
        _row(task, method, student, sorted(of, key=lambda unit: unit.seed), still.get(task))
        for (task, method), of in units.items()
        for student in ((TEAM, *of[0].types) if len(of[0].types) > 1 else (TEAM,))
    ]


def _row(task: str, method: str, student: str, of: list[Row], still: Means | None) -> dict[str, Any]:
    costs = [of[0].costs[name] for name in ([student] if student != TEAM else of[0].costs)]
    counts = [len(of[0].types[name]) for name in ([student] if student != TEAM else of[0].costs)]
    row: dict[str, Any] = {
        "task": task,
        "method": method,
        "student": student,
        "seeds": [unit.seed for unit in of],
        "retention": _over_seeds([unit.retention(student) for unit in of]),
        "macs": round(_over_robots(costs, counts, "macs"), 1),
        "macs_ratio": round(_over_robots(costs, counts, "expert_macs") / _over_robots(costs, counts, "macs"), 2),
        "params": round(_over_robots(costs, counts, "parameters"), 1),
        "bytes": round(_over_robots(costs, counts, "bytes"), 1),
        "minutes": {part: round(float(np.mean([unit.seconds[part] for unit in of])) / 60, 2) for part in of[0].seconds},
        "command": of[0].command.replace(of[0].name, f"'{task}/{method}/*'"),
    }
    for who in ("students", "expert", "random"):
        for figure in of[0].students:
            key = figure if who == "students" else f"{who}_{figure}"
            row[key] = known(rounded(mean([unit.mean(who, figure, student) for unit in of])))
    if still is not None:
        row["still_return"] = rounded(over_agents(still, "return", of[0].agents(student)))
        row["retention_from_still"] = _over_seeds([unit.retention(student, still) for unit in of])
    if student == TEAM:
        row["worst_robot"] = _over_seeds([unit.worst for unit in of])
    return row


def _over_seeds(scores: list[float]) -> dict[str, float | None]:
    """:func:`interval` of one task's scores, for JSON; None values if one is NaN."""
    if any(map(math.isnan, scores)):
        return {"iqm": None, "low": None, "high": None}
    found = interval(np.array(scores)[:, None])
    return {"iqm": found.iqm, "low": found.low, "high": found.high}


def _over_robots(costs: list[Cost], counts: list[int], key: str) -> float:
    """Mean of a cost over robots; ``counts`` are the robots of each type."""
    total = sum(getattr(cost, key) * count for cost, count in zip(costs, counts, strict=True))
    return float(total / sum(counts))


def against(units: Cells, methods: list[str]) -> list[dict[str, Any]]:
    """The first method minus each other, over the tasks that both have and, of each, the seeds that both have."""
    found = []
    for method in methods[1:]:
        pairs: dict[str, list[tuple[float, float]]] = {}
        for task in [task for task, of in units if of == method]:
            first = {unit.seed: unit.retention(TEAM) for unit in units.get((task, methods[0]), [])}
            other = {unit.seed: unit.retention(TEAM) for unit in units[task, method]}
            if both := [(first[seed], other[seed]) for seed in other if seed in first]:
                pairs[task] = both
        if pairs:
            found.append({"method": method, **_difference(pairs)})
    return found


def _difference(pairs: dict[str, list[tuple[float, float]]]) -> dict[str, Any]:
    """How much more the first method retains; ``pairs`` are task → the pairs of seeds that both methods have."""
    means = np.array([np.mean(both, 0) for both in pairs.values()])
    low, high = interval_of_mean([np.subtract(*np.array(both).T) for both in pairs.values()])
    return {
        "tasks": list(pairs),
        "pairs": sum(map(len, pairs.values())),
        "first": rounded(means[:, 0].mean()),
        "other": rounded(means[:, 1].mean()),
        "difference": rounded(np.subtract(*means.T).mean()),
        "low": low,
        "high": high,
        "better": [task for task, (one, other) in zip(pairs, means, strict=True) if one > other],
    }
