"""The long run of the fault table: ``make faults``."""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue

import rclpy

from faults.cases import CASES
from faults.harness import MODELS, Scene
from faults.report import TITLE, Found, conditions, faults_section, holds, summarise
from faults.trials import Case, Disturbed, kind_of, make_scene, run_trial
from kdmarl_core.contract.pages import write_section
from wall_clock import missing


def main() -> int:
    """Exit code 0 if every fault was handled correctly, else 1; results are written in either case."""
    parser = argparse.ArgumentParser(prog="python -m faults", description=__doc__)
    parser.add_argument("--repetitions", type=int, default=100, help="faults of each cause (default: %(default)s)")
    parser.add_argument("--model", choices=MODELS, default="process", help="how nodes are started")
    parser.add_argument("--robots", type=int, default=4, help="how many are broken at once (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("docs/results/faults.json"), help="JSON file")
    parser.add_argument("--page", type=Path, default=Path("docs/results/runtime.md"), help="page with the section")
    arguments = parser.parse_args()

    begun = time.monotonic()
    command = f"make faults REPETITIONS={arguments.repetitions} ROBOTS={arguments.robots} MODEL={arguments.model}"
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for kind, number in (("", arguments.robots), ("sets_clock", 1), ("sim_time", 1)):  # there is but one /clock
            cases = [case for case in CASES if kind_of(case) == kind]
            if kind == "sets_clock" and (reason := missing(arguments.model)):
                print(f"left out: {', '.join(case.name for case in cases)}: {reason}", flush=True)
                continue
            scenes = [make_scene(Path(folder), arguments.model, kind, f"/{kind or 'r'}{n + 1}") for n in range(number)]
            found = measure(cases, arguments.repetitions, scenes)
            rows += [summarise(case, found[case.name]) for case in cases]
    results = json.loads(arguments.output.read_text()) if arguments.output.exists() else {"models": {}}
    results["models"][arguments.model] = {
        "conditions": conditions(command, (time.monotonic() - begun) / 60) | {"robots": arguments.robots},
        "causes": rows,
    }
    arguments.output.write_text(json.dumps(results, indent=2) + "\n")
    write_section(arguments.page, arguments.output.name, ["## Faults", "", faults_section(results).rstrip()], TITLE)
    rclpy.try_shutdown()
    return 0 if holds(rows) else 1


def measure(cases: list[Case], repetitions: int, scenes: list[Scene]) -> dict[str, Found]:
    """Trials of all cases in random order, so that quiet minutes of the machine are spread over them.

    Every scene is a separate robot with its own process, and takes the next trial when it has finished one.
    """
    found = {case.name: Found() for case in cases}
    waiting: SimpleQueue[Case] = SimpleQueue()
    for _ in range(repetitions):
        for case in random.sample(cases, len(cases)):
            waiting.put(case)

    def work(scene: Scene) -> None:
        scene.start()
        try:
            with suppress(Empty):
                while True:
                    case = waiting.get_nowait()
                    while not try_once(scene, case, found[case.name]):
                        scene.heal()
                    if waiting.qsize() % len(cases) == 0:
                        print(f"{waiting.qsize() // len(cases)} of {repetitions} repetitions to go", flush=True)
        finally:
            scene.close()

    with ThreadPoolExecutor(len(scenes)) as pool:
        list(pool.map(work, scenes))
    return found


def try_once(scene: Scene, case: Case, found: Found) -> bool:
    """Whether there was a valid trial; after a failure, the scene is restored."""
    try:
        found.trials.append(run_trial(scene, case))
    except Disturbed as error:
        print(f"{case.name} disturbed: {error}", flush=True)
        found.disturbed.append(str(error))
        return False
    except AssertionError as error:
        print(f"{case.name} failed: {error}", flush=True)
        found.failures.append(str(error))
        scene.heal()
    return True


if __name__ == "__main__":
    sys.exit(main())
