"""Random faults in robots for a long time, with an independent observer: ``make soak``."""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import numpy as np
import rclpy

from faults.cases import CASES
from faults.harness import MODELS, Scene
from faults.report import TITLE, conditions, soak_section
from faults.trials import Disturbed, kind_of, run_trial
from kdmarl_core.contract.pages import write_section
from kdmarl_ros.bench import usage
from node_process import DOMAIN
from robot_body import ACTIVATE

PAUSE = 5.0
"""Longest time that a robot drives between two faults [s]."""
SAMPLE_EVERY, WARM_UP, WINDOW = 5.0, 60.0, 30.0
"""Memory measurement: sampling period, warm-up, and length of the windows whose medians are compared [s]."""
MAX_GROWTH = 0.02


def main() -> int:
    """Exit code 0 if no command was wrong, every fault was handled and no process grew; else 1."""
    parser = argparse.ArgumentParser(prog="python -m faults.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--robots", type=int, default=8)
    parser.add_argument("--model", choices=MODELS, default="process", help="how nodes are started")
    parser.add_argument("--output", type=Path, default=Path("docs/results/soak.json"), help="JSON file")
    parser.add_argument("--page", type=Path, default=Path("docs/results/runtime.md"), help="page with the section")
    arguments = parser.parse_args()
    if arguments.minutes * 60 < WARM_UP + 2 * WINDOW:
        parser.error(f"--minutes is {arguments.minutes:g}; give at least {(WARM_UP + 2 * WINDOW) / 60:g}")
    result = soak(arguments.robots, arguments.minutes * 60, arguments.model)
    command = f"make soak MINUTES={arguments.minutes:g} ROBOTS={arguments.robots} MODEL={arguments.model}"
    result = {"conditions": conditions(command, arguments.minutes), **result}
    arguments.output.write_text(json.dumps(result, indent=2) + "\n")
    write_section(arguments.page, arguments.output.name, ["## Soak", "", soak_section(result).rstrip()], TITLE)
    print(json.dumps(result["summary"], indent=2))
    rclpy.try_shutdown()
    return 0 if result["summary"]["holds"] else 1


def soak(count: int, seconds: float, model: str) -> dict:
    """Inject faults into ``count`` robots for a time; returns the results."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        scenes = [Scene(folder, model, namespace=f"/r{index + 1}") for index in range(count)]
        log = stack.enter_context((folder / "nodes.log").open("w"))
        seen = stack.enter_context(_observer(folder / "observer.json", [scene.namespace for scene in scenes]))
        processes = stack.enter_context(MODELS[model]({scene.namespace: scene.parameters for scene in scenes}, log))
        shared = len({process.pid for process in processes.values()}) < count
        end = time.monotonic() + seconds
        breakers = [_Breaker(scene, processes[scene.namespace], end, shared) for scene in scenes]
        memory = _watch_memory({process.pid for process in processes.values()}, end)
        for breaker in breakers:
            breaker.thread.join()
        alive = all(process.poll() is None for process in processes.values())
    return _result(breakers, memory, seen, alive)


class _Breaker:
    """Injects and removes faults of one robot, in a thread: its body waits most of the time."""

    def __init__(self, scene: Scene, process: subprocess.Popen[str], end: float, shared: bool) -> None:
        self.scene = scene
        self.faults = self.disturbed = 0
        self.failures: list[str] = []
        scene.process = process
        self._end = end
        self._cases = [
            case for case in CASES if not kind_of(case) and not case.warns and case.recover.__name__ != "started"
        ]
        if shared:
            self._cases = [case for case in self._cases if not case.whole_process]
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        while time.monotonic() < self._end:
            case = random.choice(self._cases)
            self.faults += 1
            try:
                run_trial(self.scene, case)
            except Disturbed:
                self.disturbed += 1
                self._repair()
            except AssertionError as error:
                self.failures.append(f"{self.scene.namespace} {case.name}: {error}")
                self._repair()
            self.scene.body.spin(random.uniform(0, PAUSE))
        self.scene.body.close()

    def _repair(self) -> None:
        """Remove all faults, without a new process: one that does not recover shows as the next failure."""
        self.scene.process.send_signal(signal.SIGCONT)
        self.scene.repair()
        if self.scene.body.state() == "inactive":
            self.scene.body.transition(ACTIVATE)


@contextmanager
def _observer(output: Path, namespaces: list[str]):
    """The observer as a process; its findings are in the dictionary after its end."""
    seen: dict[str, dict] = {}
    process = subprocess.Popen(
        [sys.executable, "-m", "faults.observer", str(output), *namespaces],
        env={**os.environ, "ROS_DOMAIN_ID": str(DOMAIN)},
    )
    try:
        yield seen
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(10)
        seen |= json.loads(output.read_text())


def _watch_memory(pids: set[int], end: float) -> dict[int, list[tuple[float, float]]]:
    """Resident memory [MiB] of each process at times [s] since now, until ``end``."""
    begun = time.monotonic()
    samples: dict[int, list[tuple[float, float]]] = {pid: [] for pid in pids}
    while time.monotonic() < end:
        for pid, taken in samples.items():
            with suppress(OSError):  # the process has died, which is reported elsewhere
                taken.append((time.monotonic() - begun, usage.memory([pid]).rss))
        time.sleep(SAMPLE_EVERY)
    return samples


def _growth(samples: list[tuple[float, float]]) -> tuple[float, float, float]:
    """Memory after the warm-up and at the end [MiB], each the median of a window, and its growth as a share."""
    times, sizes = np.array(samples).T
    first = np.median(sizes[(times >= WARM_UP) & (times < WARM_UP + WINDOW)])
    last = np.median(sizes[times >= times[-1] - WINDOW])
    return round(float(first), 1), round(float(last), 1), round(float(last / first - 1), 4)


def _result(breakers: list[_Breaker], memory: dict, seen: dict, alive: bool) -> dict:
    growth = [_growth(samples) for samples in memory.values()]
    failures = [failure for breaker in breakers for failure in breaker.failures]
    summary = {
        "robots": len(breakers),
        "faults": sum(breaker.faults for breaker in breakers),
        "disturbed": sum(breaker.disturbed for breaker in breakers),
        "failures": len(failures),
        "commands": sum(robot["commands"] for robot in seen.values()),
        "wrong_commands": sum(robot["violations"] for robot in seen.values()),
        "longest_motion_without_a_valid_input_s": round(max(robot["worst"] for robot in seen.values()), 3),
        "processes": len(growth),
        "processes_alive": alive,
        "largest_growth": max(share for _, _, share in growth),
    }
    summary["holds"] = bool(
        alive
        and not failures
        and not summary["wrong_commands"]
        and summary["largest_growth"] <= MAX_GROWTH
        and all(robot["moving"] for robot in seen.values())
    )
    return {
        "summary": summary,
        "memory_mib": [{"after_warm_up": first, "at_end": last, "growth": share} for first, last, share in growth],
        "failures": failures,
        "wrong_commands": [text for robot in seen.values() for text in robot["descriptions"]],
    }


if __name__ == "__main__":
    sys.exit(main())
