"""What is left in a fresh home, and who is talked to: nothing but ROS's logs, nobody but the middleware."""

import ipaddress
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from loopback import LOOPBACK
from node_process import DOMAIN, ros_arguments
from support import REPOSITORY, ROBOT_TYPES

PASSED_ON = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "AMENT_PREFIX_PATH", "RMW_IMPLEMENTATION")
"""Without what marks a build server, where ONNX Runtime reports nothing by itself, and without folders for caches."""

TINY = (
    "expert.envs=4", "expert.steps=10", "expert.iterations=1", "expert.actor.hidden=[16]", "expert.critic.hidden=[16]",
    "distill.rounds=1", "distill.envs=4", "distill.steps=5", "distill.updates=2", "distill.final_updates=2",
    "distill.polish.rounds=1", "task.max_steps=10", "evaluate.episodes=3", "evaluate.envs=3",
)  # fmt: skip

STRACE = ("-f", "-qq", "--seccomp-bpf", "-e", "trace=connect,sendto,sendmsg,sendmmsg")

FIRST_PORT = 7400
"""Of DDS; name servers, web servers and the like are below."""


class Watched:
    """Runs commands under a fresh home, and tells whom they talked to."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.home.mkdir()
        self.traces = folder / "traces"
        self.traces.mkdir()
        known = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        self.environment = {
            **known, **LOOPBACK, "HOME": str(self.home), "ROS_DOMAIN_ID": str(DOMAIN), "OMP_NUM_THREADS": "1"
        }  # fmt: skip

    def command(self, *arguments: object) -> list[str]:
        python = [sys.executable, *map(str, arguments)]
        if not can_trace():
            return python
        trace = self.traces / str(len(list(self.traces.iterdir())))
        return [
            "strace",
            "-f",
            "-qq",
            "--seccomp-bpf",
            "-e",
            "trace=connect,sendto,sendmsg,sendmmsg",
            "-o",
            str(trace),
            *python,
        ]

    def run(self, *arguments: object) -> None:
        done = subprocess.run(self.command(*arguments), env=self.environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def left(self) -> list[Path]:
        """The files in the home, and its empty folders."""
        there = (path for path in self.home.rglob("*") if path.is_file() or not any(path.iterdir()))
        return sorted(path.relative_to(self.home) for path in there)

    def peers(self) -> set[tuple[str, int]]:
        """Internet addresses and ports that anything was sent to."""
        whole = "".join(path.read_text() for path in self.traces.iterdir())
        assert "AF_INET6" not in whole
        found = re.findall(r'sin_port=htons\((\d+)\), sin_addr=inet_addr\("([^"]*)"\)', whole)
        return {(address, int(port)) for port, address in found}


def can_trace() -> bool:
    """Whether there is an strace, and the system lets it."""
    return (
        bool(shutil.which("strace")) and not subprocess.run(["strace", *STRACE, "-o", "/dev/null", "true"]).returncode
    )


@pytest.fixture
def watched(tmp_path):
    return Watched(tmp_path)


def test_a_node(watched):
    arguments = ros_arguments({
        "__ns": "/r1", "policy": REPOSITORY / "models/navigation_scout.onnx", "robot_type": "scout",
        "robot_types": ROBOT_TYPES, "goal": [2.0, 4.0], "autostart": True,
    })  # fmt: skip
    command = watched.command("-m", "kdmarl_ros.robot.policy_node", *arguments)
    process = subprocess.Popen(
        command,
        env=watched.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        text=True,
    )
    try:
        assert any("nothing received" in line for line in process.stdout)
        time.sleep(8.0)  # by then, a runtime that reports has looked up its collector
        os.killpg(process.pid, signal.SIGTERM)
        process.communicate(timeout=20)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert watched.left()
    assert all(re.fullmatch(r"\.ros/log/\w+\.log", str(path)) for path in watched.left()), watched.left()
    assert watched.peers() or not can_trace()
    for address, port in watched.peers():
        host = ipaddress.ip_address(address)
        assert host.is_loopback or host.is_multicast, address
        assert port >= FIRST_PORT


def test_training_export_and_evaluation(watched, tmp_path):
    """In one process, which is to import torch once only."""
    here = (REPOSITORY / "config/navigation.yaml", "--output", tmp_path / "run")
    models = ("--models", tmp_path / "models")
    tiny = [part for assignment in TINY for part in ("--set", assignment)]
    commands = [
        ("train", *here, *tiny),
        ("distill", *here, *tiny),
        ("export", *here, *models, *tiny),
        ("evaluate", *here, *models, "--record", *tiny),
        ("inspect", tmp_path / "models/navigation_mini.onnx"),
    ]
    plain = [list(map(str, command)) for command in commands]
    watched.run("-c", f"from kdmarl_core.cli.main import app\nfor each in {plain!r}: app(each, standalone_mode=False)")
    assert (tmp_path / "run/evaluation.json").exists()
    assert watched.left() == []
    assert watched.peers() == set()


def test_reports_are_off_whatever_the_environment_says(watched):
    """Tried in the one process and in those that it starts."""
    watched.environment["ORT_DISABLE_TELEMETRY"] = "0"
    child = "import onnxruntime"
    watched.run(
        "-c", f"import kdmarl_core.runtime, subprocess, sys; subprocess.check_call([sys.executable, '-c', {child!r}])"
    )
    assert watched.left() == []
    assert watched.peers() == set()
