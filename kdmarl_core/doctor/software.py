"""Python and the packages that nodes need."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec

from kdmarl_core.doctor.findings import Finding

NEEDED = ("numpy", "msgspec", "onnxruntime", "PyYAML", "rich", "typer")
OPTIONAL = {"mujoco": "simulation", "torch": "training"}


def software() -> Iterator[Finding]:
    """Look for Python, what nodes need, and what only simulation and training do."""
    threads = len(os.sched_getaffinity(0))
    yield Finding("ok", f"Python {platform.python_version()}, {threads} CPU threads for this process")
    for name in NEEDED:
        found = _version(name)
        yield Finding("ok", f"{name} {found}") if found else Finding("fail", f"{name} is missing; pip install {name}")
    yield _rclpy()
    for name, use in OPTIONAL.items():
        yield Finding("ok", f"{name} {_version(name) or 'is not installed'}, needed for {use} only")


def _rclpy() -> Finding:
    """Import rclpy in a separate process: ROS aborts a process whose middleware is missing."""
    if not find_spec("rclpy"):
        remedy = "source a ROS distribution, or pip install 'kdmarl_ros[ros]'"
        return Finding("warn", f"rclpy is missing, so no node can run; {remedy}")
    tried = subprocess.run([sys.executable, "-c", "import rclpy.node"], capture_output=True, text=True)
    if tried.returncode:
        said = tried.stderr.strip().splitlines()[-1:] or [f"exit code {tried.returncode}"]
        remedy = "check RMW_IMPLEMENTATION, and that one ROS distribution is sourced"
        return Finding("fail", f"rclpy cannot be imported, so no node can run: {said[0][:300]}; {remedy}")
    return Finding("ok", f"rclpy {_version('rclpy') or _version('ros-rclpy') or 'of unknown version'}")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
