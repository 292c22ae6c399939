"""What ``kdmarl-swarm bench`` does: measure the cost of policy nodes, compared with a minimal rclpy node."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
import numpy as np
import rclpy
from msgspec.structs import replace
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions

from kdmarl_core.contract import KdmarlError, Swarm
from kdmarl_core.contract.writing import replacing
from kdmarl_core.runtime import Policy
from kdmarl_ros.bench.body import Answers, Bodies, match
from kdmarl_ros.bench.simulation import Onlooker, on_a_circle
from kdmarl_ros.bench.usage import Memory, cpu_seconds, memory
from kdmarl_ros.swarm.options import Processes, Simulator
from kdmarl_ros.swarm.plan import load_checked_swarm, make_plan
from kdmarl_ros.swarm.supervisor import command

SETTLE = 2.0
"""From the first command of the last robot to the measurement [s]."""
START_TIMEOUT = 60.0
IMPORTS = "import sys, rclpy, onnxruntime; print(flush=True); sys.stdin.read()"
"""Program of the process whose memory is the baseline."""

NAMES = {Processes.ROBOT: "policy node, a process each", Processes.HOST: "policy node, one process"}

Commands = Callable[[list[str], Path], list[list[str]]]
"""Robots' names and a folder for files → command lines of their processes."""


@dataclass
class Case:
    """A way to run some robots, and its measurements, one entry per round."""

    name: str
    robots: int
    on_sensor: bool
    """whether commands are due at each scan; otherwise at whole multiples of the period"""
    commands: Commands
    answers: list[Answers] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    """for 1,000 commands of one robot [s]"""
    memory: list[Memory] = field(default_factory=list)
    start: list[float] = field(default_factory=list)
    """from launch to the first command of the last robot [s]"""
    missed_deadlines: int = 0
    """stops for missed deadlines"""

    def row(self) -> dict[str, Any]:
        """The medians over rounds; quantiles and counts over all of them."""
        latencies = np.concatenate([answers.latencies for answers in self.answers]) * 1e3
        return {
            "case": self.name,
            "robots": self.robots,
            "latency_ms": {f"p{q:g}": round(float(np.percentile(latencies, q)), 3) for q in (50, 99, 99.9)},
            "cycles": sum(answers.due for answers in self.answers),
            "lost": sum(answers.lost for answers in self.answers),
            "missed_deadlines": self.missed_deadlines,
            "cpu_s_per_1000": round(median(self.cpu), 3),
            "rss_mb": round(median(one.rss for one in self.memory), 1),
            "pss_mb": round(median(one.pss for one in self.memory), 1),
            "start_s": round(median(self.start), 2),
        }


def measure(
    file: Path,
    sizes: list[int],
    rounds: int,
    seconds: float,
    swaps: int,
    simulate: list[float],
    show: Callable[[str], None],
) -> dict[str, Any]:
    """Measure all cases of all sizes, one after the other, ``rounds`` times over.

    Args:
        file: swarm file; its first robot with a lidar and a goal is copied.
        sizes: numbers of robots.
        rounds: how often each case is measured.
        seconds: length of one measurement.
        swaps: how often a robot's policy is swapped in the end.
        simulate: how long each number of robots drives in the simulator [s]; 0 skips it.
        show: called with a line after each measurement.

    Raises:
        KdmarlError: the swarm has no such robot, or a process does not answer.
    """
    swarm = load_checked_swarm(file, [])
    policy = Policy.load(swarm.policies[_example(swarm).type])
    period = policy.manifest.control_period
    cases = [case for size in sizes for case in _cases(swarm, size)]
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    for ending in (signal.SIGINT, signal.SIGTERM):  # both end the robots' processes, too
        signal.signal(ending, signal.default_int_handler)
    try:
        for number in range(rounds):
            for case in cases:
                _measure(case, period, seconds)
                show(f"round {number + 1}: {case.robots} x {case.name}")
        session = _session(policy.path, period)
        simulated = []
        for size, duration in zip(sizes, simulate, strict=True):
            for processes in Processes if duration else ():
                simulated.append(_simulate(swarm, size, processes, duration))
                show(f"in the simulator: {size} x {NAMES[processes]}")
        swapped = _swap(swarm, policy.path, period, swaps) if swaps else None
    finally:
        rclpy.shutdown()
    return {
        "command": f"kdmarl-swarm bench {file} --robots {','.join(map(str, sizes))} --rounds {rounds} "
        f"--seconds {seconds:g} --swaps {swaps} --simulate {','.join(f'{one:g}' for one in simulate)}",
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "load": [round(load, 1) for load in os.getloadavg()],
        "policy": policy.manifest.name,
        "period_s": period,
        "imports": _imports()._asdict(),
        "session": session._asdict(),
        "rows": [case.row() for case in cases],
        "simulated": simulated,
        "swaps": swapped,
    }


def _example(swarm: Swarm) -> Any:
    for robot in swarm.robots:
        if swarm.robot_type(robot).sensors.lidar and robot.goal:
            return robot
    raise KdmarlError(f"{swarm.path}: has no robot with a lidar and a goal to measure; give another swarm file")


def _cases(swarm: Swarm, size: int) -> list[Case]:
    """The bare node and the policy node in both process models, and the policy node on its timer."""
    return [
        Case("bare node", size, True, _bare()),
        *(Case(name, size, True, _ours(swarm, processes, "sensor")) for processes, name in NAMES.items()),
        *(Case(f"{name}, timer", size, False, _ours(swarm, processes, "timer")) for processes, name in NAMES.items()),
    ]


def _bare(*policy: str) -> Commands:
    return lambda robots, _: [[sys.executable, "-m", "kdmarl_ros.bench.bare_node", robot, *policy] for robot in robots]


def _ours(swarm: Swarm, processes: Processes, trigger: str) -> Commands:
    def commands(robots: list[str], folder: Path) -> list[list[str]]:
        copies = [replace(_example(swarm), name=robot) for robot in robots]
        many = replace(swarm, robots=copies, defaults=replace(swarm.defaults, trigger=trigger))
        return [command(process, folder) for process in make_plan(many, simulator=Simulator.NONE, processes=processes)]

    return commands


def _names(robots: int) -> list[str]:
    return [f"robot_{index:02}" for index in range(robots)]


def _measure(case: Case, period: float, seconds: float) -> None:
    with _driving(case, period) as (bodies, pids):
        before = cpu_seconds(pids)
        bodies.spin(seconds)
        used = cpu_seconds(pids) - before
        case.memory.append(memory(pids))
    answers = [_answers(case, bodies, robot, period) for robot in bodies.sent]
    case.answers += answers
    case.cpu.append(used / max(1, sum(len(one.latencies) for one in answers)) * 1e3)
    case.missed_deadlines += sum(bodies.missed_deadlines.values())


@contextmanager
def _driving(case: Case, period: float) -> Iterator[tuple[Bodies, list[int]]]:
    """Start the robots of a case, and wait until all of them drive; their bodies, and the processes' numbers."""
    bodies = Bodies(_names(case.robots), period)
    try:
        with tempfile.TemporaryDirectory() as folder:
            began = time.monotonic()
            with _running(case.commands(list(bodies.sent), Path(folder))) as pids:
                if not bodies.spin(START_TIMEOUT, lambda: all(bodies.commands.values())):
                    silent = [robot for robot, commands in bodies.commands.items() if not commands]
                    raise KdmarlError(f"{case.name}: no command from {', '.join(silent)} within {START_TIMEOUT:g} s")
                case.start.append(time.monotonic() - began)
                bodies.spin(SETTLE)
                bodies.clear()
                yield bodies, pids
    finally:
        bodies.close()


def _simulate(swarm: Swarm, size: int, processes: Processes, seconds: float) -> dict[str, Any]:
    """Let copies of a robot cross a circle in the simulator, in real time, and record how they do."""
    onlooker = Onlooker()
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = on_a_circle(swarm, _example(swarm), _names(size), Path(folder))
            plan = make_plan(load_checked_swarm(path, [], allow_outside=True), processes=processes)
            with _running([command(process, Path(folder)) for process in plan]) as pids:
                driving = onlooker.wait_for(size, START_TIMEOUT)
                before = cpu_seconds(pids)
                seen = onlooker.watch(seconds)
                cores = (cpu_seconds(pids) - before) / seen["seconds"]
    finally:
        onlooker.close()
    return {"robots": size, "case": NAMES[processes], "driving": driving, **seen, "cores": round(cores, 2)}


def _swap(swarm: Swarm, policy: Path, period: float, count: int) -> dict[str, Any]:
    """Swap the policy of one robot of four in one process ``count`` times, as fast as possible, while all drive."""
    case = Case("swaps", 4, False, _ours(swarm, Processes.HOST, "timer"))
    refused = 0
    with tempfile.TemporaryDirectory() as folder, _driving(case, period) as (bodies, _):
        files = [shutil.copy(policy, Path(folder) / name) for name in ("a.onnx", "b.onnx")]
        client = bodies.node.create_client(SetParameters, "/robot_00/policy/set_parameters")
        bodies.spin(START_TIMEOUT, client.service_is_ready)
        began = time.monotonic()
        for number in range(count):
            parameter = Parameter("policy", value=str(files[number % 2])).to_parameter_msg()
            answer = client.call_async(SetParameters.Request(parameters=[parameter]))
            done = bodies.spin(START_TIMEOUT, answer.done)
            refused += not (done and answer.result().results[0].successful)
        seconds = time.monotonic() - began
    swapped, *others = [_answers(case, bodies, robot, period) for robot in bodies.sent]
    return {
        "swaps": count,
        "refused": refused,
        "seconds": round(seconds, 1),
        "cycles": swapped.due,
        "lost": swapped.lost,
        "others_cycles": sum(one.due for one in others),
        "others_lost": sum(one.lost for one in others),
        "missed_deadlines": sum(bodies.missed_deadlines.values()),
    }


def _answers(case: Case, bodies: Bodies, robot: str, period: float) -> Answers:
    sent, commands = np.array(bodies.sent[robot]), np.array(bodies.commands[robot])
    if case.on_sensor:
        return match(sent, commands)
    step = round(period * 1e9)
    return match(np.arange(-(-sent[0] // step) * step, sent[-1], step), commands)


@contextmanager
def _running(commands: list[list[str]]) -> Iterator[list[int]]:
    """Run processes without output and yield their PIDs; stop them with SIGINT, and kill those that do not exit."""
    processes = [
        subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for line in commands
    ]
    try:
        yield [process.pid for process in processes]
    finally:
        for process in processes:
            process.send_signal(signal.SIGINT)
        for process in processes:
            try:
                process.wait(5.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _imports() -> Memory:
    """Memory of a process that has only imported rclpy and ONNX Runtime."""
    with subprocess.Popen([sys.executable, "-c", IMPORTS], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        if process.stdout:
            process.stdout.readline()
        return memory([process.pid])


def _session(policy: Path, period: float) -> Memory:
    """Memory of a bare node that has opened the policy file: the minimum with these libraries."""
    case = Case("bare node with a session", 1, True, _bare(str(policy)))
    with _driving(case, period) as (_, pids):
        return memory(pids)


def write(results: dict[str, Any], path: Path) -> None:
    """Write ``results`` as JSON."""
    with replacing(path) as scratch:
        scratch.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
