"""Run the fuzz targets at length: ``make fuzz``, or one case again with ``--target NAME --case SEED:N``.

Writes ``docs/results/fuzz.json`` and the section "Fuzzing" of ``docs/results/runtime.md``.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import platform
import resource
import sys
import time
import warnings
from textwrap import wrap
from typing import Any

import numpy as np

from fuzz.targets import TARGETS
from kdmarl_core.contract.pages import write_section
from support import REPOSITORY

CASES = {
    "manifest": 60_000,
    "robots": 20_000,
    "swarm": 15_000,
    "policy bytes": 25_000,
    "policy fields": 30_000,
    "messages": 60_000,
}
"""Target → cases of a long run."""
SHORT = 60
"""A short run has this many times fewer cases."""
LIMIT = 5.0
"""Time after which a case counts as hung [s]."""
FOUND = (
    "Found while this was made, and fixed: commands followed from a scan whose angle increment is NaN or thousands of "
    "turns; values of a YAML file that are not what their tag says, such as a date that is none, ended in a traceback, "
    "and so did lengths that overflow when squared; infinite limits of a robot were taken; ONNX Runtime printed on its "
    "own where names are no text, and crashed at an operator whose input is left out."
)
"""For the page."""
RESULTS = REPOSITORY / "docs" / "results" / "fuzz.json"
PAGE = REPOSITORY / "docs" / "results" / "runtime.md"


def run(target: str, cases: int, seed: int, first: int = 0) -> dict[str, Any]:
    """Run some cases of a target.

    Args:
        target: of ``TARGETS``.
        cases: how many.
        seed: of all cases.
        first: number of the first.

    Raises:
        AssertionError: a case was neither refused nor accepted in time; the message says how to run it again.
    """
    accepted, slowest, started = 0, 0.0, time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # numpy's, of overflows in what is then refused
        for number in range(first, first + cases):
            begin = time.perf_counter()
            faulthandler.dump_traceback_later(2 * LIMIT, exit=True)  # also where no Python runs
            try:
                accepted += TARGETS[target](np.random.default_rng([seed, number]))
            except Exception as error:
                again = f"PYTHONPATH=.:test python test/fuzz/run.py --target '{target}' --case {seed}:{number}"
                raise AssertionError(f"{error!r}; again: {again}") from error
            slowest = max(slowest, time.perf_counter() - begin)
            assert slowest < LIMIT, f"case {seed}:{number} of '{target}' took {slowest:.1f} s"
    faulthandler.cancel_dump_traceback_later()
    return {
        "target": target,
        "about": (TARGETS[target].__doc__ or "").partition("\n")[0],
        "cases": cases,
        "refused": cases - accepted,
        "accepted": accepted,
        "seconds": round(time.perf_counter() - started, 1),
        "slowest_ms": round(slowest * 1e3, 1),
    }


def section(results: dict[str, Any]) -> list[str]:
    """The page's section, in lines."""
    rows = [
        f"| {row['target']} | {row['about']} | {row['cases']:,} | {row['refused']:,} | {row['accepted']:,} "
        f"| {row['seconds']:.0f} | {row['slowest_ms']:.0f} |"
        for row in results["targets"]
    ]
    cases, seconds = (sum(row[key] for row in results["targets"]) for key in ("cases", "seconds"))
    slowest = max(row["slowest_ms"] for row in results["targets"])
    summary = (
        f"`make fuzz`, seed {results['seed']}: {cases:,} cases in {seconds / 60:.0f} minutes on one core, with other "
        f"work on the machine ({results['machine']}). Every case ended in a refusal of one sentence, in a file that "
        f"can be used, or in a command within the robot's limits. None took longer than {slowest / 1e3:.1f} s, and the "
        f"process grew to {results['peak_mib']:.0f} MiB. No command followed from a message that is stale, from the "
        "future, not finite, or in the wrong frame. Accepted is what was spoiled in a way that does not matter, such "
        "as a weight or a name. Messages go through the subscriptions' checks and a policy, with the scan guard and "
        "without, but not over the network."
    )
    table = ["| target | what is spoiled | cases | refused | accepted | time [s] | slowest [ms] |"]
    table += ["| --- | --- | --- | --- | --- | --- | --- |", *rows]
    return ["## Fuzzing", "", *wrap(summary, 120), "", *table, "", *wrap(FOUND, 120)]


def main() -> int:
    """Run all targets, or one case of one."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", choices=TARGETS)
    parser.add_argument("--case", metavar="SEED:N", help="only this one")
    parser.add_argument("--page", action="store_true", help="only rewrite the page's section")
    options = parser.parse_args()
    if options.page:
        write_section(PAGE, RESULTS.name, section(json.loads(RESULTS.read_text())), "# At run time\n")
        return 0
    if options.case:
        seed, number = map(int, options.case.split(":"))
        print(run(options.target, 1, seed, number))
        return 0
    rows = []
    for target in [options.target] if options.target else CASES:
        rows.append(run(target, CASES[target], options.seed))
        print(rows[-1], flush=True)
    if not options.target:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        machine = f"Python {platform.python_version()}, {platform.machine()}"
        results = {"command": "make fuzz", "seed": options.seed, "machine": machine, "peak_mib": round(peak)}
        results |= {"targets": rows}
        RESULTS.write_text(json.dumps(results, indent=2) + "\n")
        write_section(PAGE, RESULTS.name, section(results), "# At run time\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
