"""What ``kdmarl bench`` does: measure steps per second of the robots simulator, optionally compared with VMAS."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import msgspec
import numpy as np
import yaml
from rich.console import Console
from rich.table import Table

from kdmarl_core.contract import KdmarlError
from kdmarl_core.contract.writing import replacing
from kdmarl_core.envs.robots.navigation import Navigation, NavigationConfig

SIZES = (1, 64, 1024)
ROBOT = {
    "radius": 0.1,
    "action": {
        "kind": "diff_drive", "linear": [-1.0, 1.0], "angular": [-2.0, 2.0],
        "linear_acceleration": 2.0, "angular_acceleration": 6.0,
    },
    "sensors": {"lidar": {"beams": 36, "range": 3.5}},
}  # fmt: skip
"""Four robots with 36 beams each and no pillars, as VMAS navigation is set up for the comparison."""
VMAS_PROGRAM = """
import json, sys, time
import torch, vmas
torch.set_num_threads(1)
envs, seconds = int(sys.argv[1]), float(sys.argv[2])
env = vmas.make_env("navigation", num_envs=envs, device="cpu", continuous_actions=True, seed=0,
                    n_agents=4, n_lidar_rays=36, collisions=True)
env.reset()
actions = [torch.rand(envs, 2) * 2 - 1 for _ in range(4)]
env.step(actions)
steps, start = 0, time.perf_counter()
while time.perf_counter() - start < seconds or steps < 3:
    env.step(actions)
    steps += 1
print(json.dumps(steps * envs / (time.perf_counter() - start)))
"""


def envs(vmas: Path | None, seconds: float, rounds: int, output: Path | None) -> None:
    """Measure env-steps/s on one thread (step and observations) and print medians over interleaved rounds.

    Raises:
        KdmarlError: the interpreter for VMAS cannot run it.
    """
    ours: dict[int, list[float]] = {size: [] for size in SIZES}
    theirs: dict[int, list[float]] = {size: [] for size in SIZES}
    for _ in range(rounds):
        for size in SIZES:
            ours[size].append(_ours(size, seconds))
            if vmas:
                theirs[size].append(_theirs(vmas, size, seconds))
    table = Table(title=f"navigation, 4 robots x 36 beams, one thread, env-steps/s, median of {rounds}")
    for column in ("environments", "kdmarl", "VMAS", "ratio"):
        table.add_column(column, justify="right")
    rows = []
    for size in SIZES:
        row = {"envs": size, "kdmarl": statistics.median(ours[size])}
        if vmas:
            row["vmas"] = statistics.median(theirs[size])
            row["ratio"] = statistics.median(a / b for a, b in zip(ours[size], theirs[size], strict=True))
        rows.append(row)
        table.add_row(
            str(size),
            f"{row['kdmarl']:,.0f}",
            *(f"{row[key]:,.1f}" if key in row else "-" for key in ("vmas", "ratio")),
        )
    Console().print(table)
    if output:
        with replacing(output) as scratch:
            scratch.write_text(
                json.dumps({"machine": platform.processor() or platform.machine(), "rows": rows}, indent=1)
            )


def _ours(envs: int, seconds: float) -> float:
    """Env-steps/s of stepping and observing the robots simulator."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "robots.yaml").write_text(yaml.safe_dump({"bench": ROBOT}))
        terms = [{"term": "lidar", "sectors": 36, "range": 3.5}, {"term": "goal", "range": 5.0}, {"term": "velocity"}]
        task = {
            "robot_types": "robots.yaml", "team": {"bench": 4}, "discs": [0, 0], "walls": [0, 0],
            "observations": {"expert": {"bench": terms}, "student": {"bench": terms}}, "kind": "navigation",
        }  # fmt: skip
        env = Navigation(msgspec.convert(task, NavigationConfig), Path(folder), envs)
    actions = {"bench": np.random.default_rng(0).uniform(-1, 1, (envs, 4, 2))}
    env.step(actions)
    steps, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds or steps < 3:
        env.step(actions)
        env.reset_ended()
        env.observe("student")
        steps += 1
    return steps * envs / (time.perf_counter() - start)


def _theirs(python: Path, envs: int, seconds: float) -> float:
    """Env-steps/s of VMAS navigation in the given interpreter."""
    command = [str(python), "-c", VMAS_PROGRAM, str(envs), str(seconds)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    except OSError as error:
        raise KdmarlError(f"--vmas {python}: cannot be started ({error.strerror}); give a Python interpreter") from None
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or ["no message"])[-1]
        raise KdmarlError(f"--vmas {python}: failed ({last}); install vmas there") from None
    return float(json.loads(done.stdout.strip().splitlines()[-1]))
