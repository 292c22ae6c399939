"""The long run of the scan guard: ``make guard``.

Writes ``docs/results/guard.json`` and the section "Scan guard" of ``docs/results/runtime.md``. A run that was cut off
goes on from ``runs/guard.jsonl``, as long as the code and the robot types are the same.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from textwrap import wrap
from typing import Any

import numpy as np

from faults.report import TITLE
from guard.closed_loop import draw, run
from kdmarl_core.contract import load_robot_types
from kdmarl_core.contract.pages import write_section
from kdmarl_core.judge.definitions import CONTACT
from support import REPOSITORY, ROBOT_TYPES

RESULTS = REPOSITORY / "docs" / "results" / "guard.json"
TYPES = load_robot_types(ROBOT_TYPES)
PROGRESS = REPOSITORY / "runs" / "guard.jsonl"
CORE = REPOSITORY / "kdmarl_core"
CHUNK = 500
"""Runs between two lines of ``PROGRESS``."""
Found = tuple[float, int, float | None]
"""Of a run: least gap [m], how many commands were changed, and the least gap without the guard, if that was driven."""
UNGUARDED = 10
"""Every n-th situation is also driven without the guard."""


def one(name: str, seed: int, number: int) -> Found:
    """Least gap [m], how many commands were changed, and the least gap without the guard where that is looked at."""
    situation = draw(np.random.default_rng([seed, number]), TYPES[name])
    least, changed = run(situation)
    return least, changed, None if number % UNGUARDED else run(situation, guarded=False)[0]


def section(results: dict) -> list[str]:
    """The page's section, in lines."""
    runs, touches = (sum(row[key] for row in results["robots"]) for key in ("runs", "touches"))
    found = f"something was touched in {touches}" if touches else "nothing was touched"
    text = (
        f"`{results['command']}`, seed {results['seed']}: {runs:,} random runs "
        f"in {results['minutes']:.0f} minutes ({results['machine']}); {found}. A robot begins clear of pillars, boxes "
        "and walls that stand still, among which a random policy drives it, half the time at its limits, for up to "
        "9 s; in one run of four a thin pillar stands next to it. Its lidar turns at 5 to 40 Hz while it drives, "
        "either way round, and stamps its scans with the turn's start or end, or sees all at once; messages arrive up "
        "to 20 ms after the turn, the base obeys up to a control period late, and control cycles begin by the timer or "
        f"by the sensor. A touch is a gap of less than {CONTACT * 1e3:.0f} mm. Every {UNGUARDED}th situation was "
        "driven without the guard, too."
    )
    table = [
        "| robot type | runs | touches | smallest gap [mm] | runs in which it braked | touches without the guard |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in results["robots"]:
        free = f"{row['touches_unguarded']:,} of {row['runs_unguarded']:,}"
        table.append(
            f"| {row['name']} | {row['runs']:,} | {row['touches']} | {row['least_gap_m'] * 1e3:.1f} "
            f"| {row['runs_changed']:,} | {free} |"
        )
    return ["## Scan guard", "", *wrap(text, 120), "", *table]


def code() -> str:
    """Hash of the files that decide what a run finds, hex."""
    files = [REPOSITORY / "test/guard/closed_loop.py", ROBOT_TYPES, *sorted(CORE.glob("contract/sensors/*.py"))]
    files += [REPOSITORY / "kdmarl_ros/robot/control_loop.py"]
    files += [
        CORE / f"{module}.py"
        for module in (
            *("contract/kinematics", "contract/readings", "envs/robots/kernels", "envs/robots/rays"),
            *("judge/definitions", "runtime/safety", "runtime/scan_before", "runtime/scan_guard", "runtime/track"),
        )
    ]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


class Progress:
    """What has been found, kept in a file after every chunk, so that a run that was cut off goes on."""

    def __init__(self, path: Path, seed: int) -> None:
        """Take up what ``path`` holds if it is of the same code and ``seed``."""
        self._path = path
        self.found: dict[str, list[Found]] = {name: [] for name in TYPES}
        self.minutes = 0.0
        begin = {"code": code(), "seed": seed}
        lines = path.read_text().splitlines() if path.exists() else []
        if lines and json.loads(lines[0]) == begin:
            for line in map(json.loads, lines[1:]):
                self._take(**line)
            print(f"going on after {sum(map(len, self.found.values())):,} runs ({path})", flush=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(begin) + "\n")

    def _take(self, name: str, found: list[Found], minutes: float) -> None:
        self.found[name] += found
        self.minutes += minutes

    def add(self, name: str, found: list[Found], minutes: float) -> None:
        """Keep the results of the next runs of robot type ``name``, which took so long."""
        with self._path.open("a") as file:
            file.write(json.dumps({"name": name, "found": found, "minutes": round(minutes, 3)}) + "\n")
        self._take(name, found, minutes)


def summarise(name: str, found: list[Found]) -> dict[str, Any]:
    """One row of the table."""
    free = [gap for _, _, gap in found if gap is not None]
    return {
        "name": name,
        "runs": len(found),
        "touches": sum(least <= CONTACT for least, _, _ in found),
        "touched_in": [number for number, (least, _, _) in enumerate(found) if least <= CONTACT],
        "least_gap_m": round(min(least for least, _, _ in found), 4),
        "runs_changed": sum(changed > 0 for _, changed, _ in found),
        "runs_unguarded": len(free),
        "touches_unguarded": sum(gap <= CONTACT for gap in free),
    }


def main() -> int:
    """Exit code 0 if nothing was touched."""
    parser = argparse.ArgumentParser(prog="python -m guard", description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=100_000, help="of all robot types together (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    progress = Progress(PROGRESS, options.seed)
    count = -(-options.runs // len(TYPES))
    with ProcessPoolExecutor() as pool:
        for name in TYPES:
            while (done := len(progress.found[name])) < count:
                begun = time.monotonic()
                numbers = range(done, min(done + CHUNK, count))
                found = list(pool.map(partial(one, name, options.seed), numbers, chunksize=25))
                progress.add(name, found, (time.monotonic() - begun) / 60)
    rows = [summarise(name, progress.found[name][:count]) for name in TYPES]
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}"
    results = {
        "command": f"make guard RUNS={options.runs}",
        "seed": options.seed,
        "machine": machine,
        "minutes": round(progress.minutes, 1),
        "robots": rows,
    }
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    page = RESULTS.with_name("runtime.md")
    write_section(page, RESULTS.name, section(results), TITLE)
    return int(any(row["touches"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
