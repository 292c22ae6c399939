"""Results of the long run of the fault table: as JSON, and as a section of a page."""

from __future__ import annotations

import os
import platform
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import rclpy

from faults.harness import AGED, PERIOD, TIMEOUT
from faults.trials import Case, Trial
from robot_body import SENSOR_PERIOD

TITLE = (
    "# Run time: what was measured\n\nEach section is written by the command that it names, from the JSON beside it.\n"
)
METHOD = """
A robot drives by a real node over real messages (UDP on the loopback, `test/loopback.xml`); something is broken at a
random moment, and repaired once the robot stands. *Stop*: from the fault (the last message, where no more come; the bad
message; the signal) to the arrival of the zero command, of which there must be exactly one and nothing after it. *Drive
on*: from the end of the fault to the first command that moves the robot. All in ms, middleware and the harness
included, and for signals the start of a new process. The limit is one and a half control periods, after the sensor
timeout where it is that something does not come. The fault must be named and counted in `/diagnostics`, and no other.
*Bad*: a stop beyond the limit, or anything else not as it must be. Where nobody listens, or only for another type, the
robot drives on, and *stop* is the time until `/diagnostics` warns; an infinite `range_max` is taken, and changes
nothing. Wall time is set for the node and its sensors together, by libfaketime, with which a process of many
threads, as the one for all robots, does not start.
"""
MODEL_NAMES = {"process": "One process for each robot", "host": "One process for all robots of a host"}


@dataclass
class Found:
    """Results of one case."""

    trials: list[Trial] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    """failures, apart from times"""
    disturbed: list[str] = field(default_factory=list)
    """trials that were spoilt by another cause, and repeated"""


def summarise(case: Case, found: Found) -> dict[str, object]:
    """One row: times in tenths of a millisecond."""
    stops, resumes = (np.array([getattr(trial, name) for trial in found.trials]) * 1e3 for name in ("stop", "resume"))
    limit = case.limit * 1e3
    return {
        "name": case.name,
        "trials": len(found.trials) + len(found.failures),
        "limit_ms": round(limit),
        "stop_ms": _quantiles(stops),
        "resume_ms": _quantiles(resumes),
        "over": [
            {"stop_ms": round(float(stop), 1), "lateness_of_the_harness_ms": round(trial.lateness * 1e3, 1)}
            for stop, trial in zip(stops, found.trials, strict=True)
            if stop > limit
        ],
        "failures": found.failures,
        "disturbed": found.disturbed,
    }


def conditions(command: str, minutes: float) -> dict[str, object]:
    """Conditions of the measurement."""
    return {
        "command": command,
        "minutes": round(minutes, 1),
        "sensor_timeout_s": TIMEOUT,
        "control_period_s": PERIOD,
        "sensor_period_s": SENSOR_PERIOD,
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "load": [round(load, 2) for load in os.getloadavg()],
        "python": platform.python_version(),
        "middleware": rclpy.get_rmw_implementation_identifier(),
    }


def holds(rows: Sequence[dict]) -> bool:
    """Whether every fault was handled correctly, and in time apart from the machine's own lateness."""
    late = any(_is_to_blame(row, over) for row in rows for over in row["over"])
    return not late and not any(row["failures"] for row in rows)


def faults_section(results: dict) -> str:
    """Results of the long run."""
    parts = [fill(METHOD)]
    known = {row["name"] for result in results["models"].values() for row in result["causes"]}
    for model, result in results["models"].items():
        missing = sorted(known - {row["name"] for row in result["causes"]})
        without = f" Not run in this model: {', '.join(missing)}." if missing else ""
        parts.append(fill(_conditions_text(model, result["conditions"]) + _verdict(result["causes"]) + without))
        parts.append(_table(result["causes"]))
        failures = [f"- {row['name']}: {text}" for row in result["causes"] for text in row["failures"]]
        parts += ["Other than late:\n\n" + "\n".join(failures) + "\n"] if failures else []
    return "\n".join(parts)


def _conditions_text(model: str, known: dict) -> str:
    return (
        f"{MODEL_NAMES.get(model, model)}: faults of each cause in turn for {known['minutes']:.0f} minutes, "
        f"{known.get('robots', 1)} robots at once but for those of /clock "
        f"(`{known['command']}`); sensor timeout {known['sensor_timeout_s']} s, control period "
        f"{known['control_period_s']} s, sensors every {known['sensor_period_s']} s; {known['cores']} cores of "
        f"{known['cpu']} with a load of {known['load'][2]}; {known['middleware']}, Python {known['python']}. "
    )


def soak_section(result: dict) -> str:
    """Results of the soak test."""
    known, summary = result["conditions"], result["summary"]
    memory = ", ".join(f"{row['after_warm_up']:.1f} → {row['at_end']:.1f}" for row in result["memory_mib"])
    wrong = [f"- {text}" for text in (*result["failures"], *result["wrong_commands"])]
    text = (
        f"{summary['robots']} robots in {summary['processes']} processes, broken and repaired at random for "
        f"{known['minutes']:g} minutes (`{known['command']}`; {known['cores']} cores of {known['cpu']} with a load of "
        f"{known['load'][2]}), while an onlooker in a process of its own judged every command by the messages on the "
        f"topics. Of {summary['faults']:,} faults {summary['failures'] or 'none'} was not answered as it must be, "
        f"and {summary['disturbed']} came when another cause had stopped the robot already; of "
        f"{summary['commands']:,} commands {summary['wrong_commands'] or 'none'} was wrong. A robot moved at most "
        f"{summary['longest_motion_without_a_valid_input_s']:.3f} s after the last valid message of an input (allowed: "
        f"{AGED:.2f} s). Resident memory after the first minute and at the end [MiB]: {memory}. The bars "
        f"{'hold' if summary['holds'] else 'do not hold'}."
    )
    return fill(text) + ("\n" + "\n".join(wrong) + "\n" if wrong else "")


def _verdict(rows: Sequence[dict]) -> str:
    trials, failures, again = (sum(_count(row[name]) for row in rows) for name in ("trials", "failures", "disturbed"))
    over = [(row, late) for row in rows for late in row["over"]]
    excused = sum(not _is_to_blame(row, late) for row, late in over)
    late = f"{len(over)} stops came after the limit, {excused} of them by no more than the harness's own timer was late"
    return (
        f"Of {trials:,} faults {failures or 'none'} was answered other than it must be; "
        f"{late if over else 'all stops came in time'}. Trials repeated because another cause had stopped the robot "
        f"first: {again}."
    )


def _count(value: int | list) -> int:
    return value if isinstance(value, int) else len(value)


def _is_to_blame(row: dict, late: dict) -> bool:
    """Whether a late stop was later than the machine that it was measured on."""
    return late["stop_ms"] - late["lateness_of_the_harness_ms"] > row["limit_ms"]


def fill(text: str) -> str:
    """A paragraph."""
    return textwrap.fill(" ".join(text.split()), 120, break_on_hyphens=False) + "\n"


def _table(rows: Sequence[dict]) -> str:
    lines = [
        "| cause | limit | stop p50 | p99 | max | drive on p50 | p99 | max | bad |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        # What is harmless stops nobody.
        times = [f"{row[what][key]:.0f}" if row[what] else "" for what in ("stop_ms", "resume_ms") for key in QUANTILES]
        bad = len(row["over"]) + len(row["failures"])
        lines.append(f"| {row['name']} | {row['limit_ms']} | {' | '.join(times)} | {bad or ''} |")
    return "\n".join(lines) + "\n"


QUANTILES = {"p50": 50, "p99": 99, "max": 100}


def _quantiles(values: np.ndarray) -> dict[str, float]:
    values = values[~np.isnan(values)]
    if not values.size:
        return {}
    return {name: round(float(np.percentile(values, percent)), 1) for name, percent in QUANTILES.items()}


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    names = [line.partition(": ")[2] for line in info.read_text().splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor()
