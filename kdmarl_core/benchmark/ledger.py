"""The file of a benchmark's results: what every unit measured, which units are current, and their aggregation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from filelock import FileLock

from kdmarl_core.benchmark import aggregate
from kdmarl_core.benchmark.measured import TEAM, Cost, Means, Row, agent_means, with_nan
from kdmarl_core.contract import KdmarlError
from kdmarl_core.contract.writing import replacing, writing

__all__ = [
    "SCHEMA_VERSION",
    "TEAM",
    "Bar",
    "Cost",
    "Ledger",
    "Means",
    "Row",
    "Still",
    "agent_means",
    "aggregated",
    "change",
    "current",
    "load",
    "outdated",
    "save",
]

SCHEMA_VERSION = 1


class Bar(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a method is required to reach on every task."""

    retention: float
    macs_ratio: float
    """how many times fewer multiply-accumulates than the expert's"""


class Still(msgspec.Struct, frozen=True, kw_only=True):
    """A task's figures for robots that stand still."""

    sha256: str
    """shortened hash of what the figures depend on"""
    figures: Means


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file."""

    schema_version: int = SCHEMA_VERSION
    title: str
    about: str = ""
    notes: dict[str, dict[str, str]] = {}
    """``methods`` and ``tasks`` → name → description; ``stages`` → method → how its policies are trained"""
    rows: list[dict[str, Any]] = []
    """task, method, student (a type or ``team``) → figures over seeds"""
    against: list[dict[str, Any]] = []
    """every method but the first → how much more the first retains, over the tasks that both have"""
    bars: dict[str, Bar] = {}
    """method → its bar"""
    leads: dict[str, float] = {}
    """method → required lead of the first method over it in retention, on the mean over tasks"""
    planned: int = 0
    """number of units of the benchmark"""
    still: dict[str, Still] = {}
    """task → figures of robots that stand still; robot tasks only"""
    units: list[Row] = []

    @property
    def methods(self) -> list[str]:
        """Methods with rows, in the order of the benchmark file."""
        done = {row["method"] for row in self.rows}
        return [method for method in self.notes["methods"] if method in done]

    @property
    def tasks(self) -> list[str]:
        """Tasks with rows, in the order of the benchmark file."""
        return list(dict.fromkeys(row["task"] for row in self.rows))

    @property
    def team_rows(self) -> list[dict[str, Any]]:
        """Rows of whole teams."""
        return [row for row in self.rows if row["student"] == TEAM]

    def add(self, row: Row) -> Ledger:
        """A copy with ``row`` added, replacing an older one of the same name."""
        kept = [other for other in self.units if other.name != row.name]
        return msgspec.structs.replace(self, units=[*kept, row])


def load(path: Path, title: str = "") -> Ledger:
    """The ledger at ``path``; an empty one with ``title`` if the file does not exist.

    Raises:
        KdmarlError: it cannot be read, or is not a ledger.
    """
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Ledger)
    except FileNotFoundError:
        return Ledger(title=title)
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise KdmarlError(f"{path}: is not a file of benchmark results ({error}); give another --output") from None
    if found.schema_version != SCHEMA_VERSION:
        raise KdmarlError(
            f"{path}: schema_version is {found.schema_version}, this version reads {SCHEMA_VERSION}; "
            "give another --output"
        )
    return found


def save(ledger: Ledger, path: Path) -> None:
    """Write it atomically.

    Raises:
        KdmarlError: it cannot be written.
    """
    data = msgspec.json.format(msgspec.json.encode(ledger), indent=1)
    with replacing(path) as scratch:
        scratch.write_bytes(data)


def change(path: Path, title: str, how: Callable[[Ledger], Ledger]) -> None:
    """Read, change and write the ledger at ``path`` under a lock.

    Raises:
        KdmarlError: it cannot be read or written.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            save(how(load(path, title)), path)


def outdated(ledger: Ledger, keys: dict[str, str], references: dict[str, str]) -> dict[str, str]:
    """Units that were measured against other figures of expert or random commands than newer ones.

    An expert retrained with changed code is a different one, even if its settings are the same.

    Args:
        ledger: with units, the newest last.
        keys: name of every unit → its current ``sha256``; units with another are ignored.
        references: name of every unit → what its expert's and random figures depend on.

    Returns:
        Name of each such unit → name of the newest unit of its task and seed with the same ``references``.
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
        np.allclose(with_nan(one[name]), with_nan(two[name]), rtol=0, atol=1e-9, equal_nan=True) for name in one
    )


def current(ledger: Ledger, keys: dict[str, str], references: dict[str, str]) -> dict[str, Row]:
    """Name → unit, for all units whose dependencies are unchanged and which are not :func:`outdated`.

    Args:
        ledger: with units.
        keys: as for :func:`outdated`; the result has their order.
        references: as for :func:`outdated`.
    """
    old = outdated(ledger, keys, references)
    known = {unit.name: unit for unit in ledger.units if keys.get(unit.name) == unit.sha256}
    return {name: known[name] for name in keys if name in known and name not in old}


def aggregated(
    ledger: Ledger,
    notes: dict[str, dict[str, str]],
    about: str,
    keys: dict[str, str],
    references: dict[str, str],
) -> Ledger:
    """A copy with ``rows``, ``against`` and ``planned`` computed from the units.

    Args:
        ledger: with units; those that are not :func:`current`, or have no retention, are kept but ignored.
        notes: as in the ledger; methods have the order of ``methods``.
        about: as in the ledger.
        keys: as for :func:`outdated`; tasks have their order.
        references: as for :func:`outdated`.
    """
    counting = list(current(ledger, keys, references).values())
    tasks = list(dict.fromkeys(name.partition("/")[0] for name in keys))
    cells = aggregate.cells(counting, tasks, list(notes["methods"]))
    rows = aggregate.rows(cells, {task: still.figures for task, still in ledger.still.items()})
    made = msgspec.structs.replace(ledger, notes=notes, about=about, rows=rows, planned=len(keys))
    return msgspec.structs.replace(made, against=aggregate.against(cells, made.methods))
