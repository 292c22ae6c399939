"""What ``kdmarl doctor`` does: look at all that must be right before a robot is trusted to a policy.

Needs neither torch nor ROS, and imports neither.
"""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple

from rich.console import Console
from rich.text import Text

from kdmarl_core.contract import KdmarlError, Swarm, load_swarm
from kdmarl_core.contract.checksums import SUMS, read_sums
from kdmarl_core.contract.errors import printable
from kdmarl_core.runtime import Controller, Policy

NEEDED = ("numpy", "msgspec", "onnxruntime", "PyYAML", "rich", "typer")
OPTIONAL = {"mujoco": "simulation", "torch": "training"}
DOMAINS = range(233)
"""Values of ROS_DOMAIN_ID that DDS has ports for; above 101, Linux may have given the ports away."""

STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


class Finding(NamedTuple):
    """One line of the report; what is not ok says what to do."""

    level: Literal["ok", "warn", "fail"]
    text: str


def doctor(swarm_path: Path | None, models: Path, allow_outside: bool) -> int:
    """Print what was found, a line each, and return 1 if something fails, else 0.

    Args:
        swarm_path: swarm file whose policies are checked against its robots; None checks the files of ``models``.
        models: folder of policy files, when there is no swarm file.
        allow_outside: as in :func:`load_swarm`.
    """
    console = Console(soft_wrap=True, highlight=False)
    worst = 0
    for finding in _findings(swarm_path, models, allow_outside):
        console.print(Text.assemble((f"{finding.level:4}  ", STYLES[finding.level]), printable(finding.text)))
        worst = max(worst, int(finding.level == "fail"))
    return worst


def _findings(swarm_path: Path | None, models: Path, allow_outside: bool) -> Iterator[Finding]:
    yield from _software()
    yield _domain(os.environ.get("ROS_DOMAIN_ID", ""))
    yield _transport(os.environ)
    yield _writable(Path("runs"), "what runs write")
    home = Path(os.environ.get("ROS_HOME") or Path.home() / ".ros")
    yield _writable(Path(os.environ.get("ROS_LOG_DIR") or home / "log"), "logs of nodes")
    loaded: dict[Path, Policy] = {}
    if swarm_path is None:
        files = sorted(models.glob("*.onnx"))
        if not files:
            yield Finding("fail", f"{models} has no policy files; name a swarm file, or their folder by --models")
            return
        loads = [_attempt(partial(_load, path, loaded)) for path in files]
        yield from _folder(models, loaded)
        yield from loads
        return
    try:
        swarm = load_swarm(swarm_path, allow_outside)
    except KdmarlError as error:
        yield Finding("fail", str(error))
        return
    yield Finding("ok", f"{swarm_path}: {len(swarm.robots)} robots")
    used = sorted({robot.type for robot in swarm.robots})
    fits = [_attempt(partial(_fit, swarm, robot_type, loaded)) for robot_type in used]
    for folder in sorted({swarm.policies[robot_type].parent for robot_type in used}):
        yield from _folder(folder, loaded)
    yield from fits


def _attempt(check: Callable[[], str]) -> Finding:
    try:
        return Finding("ok", check())
    except KdmarlError as error:
        return Finding("fail", str(error))


def _fit(swarm: Swarm, robot_type: str, loaded: dict[Path, Policy]) -> str:
    """See that a type's policy can be loaded and is for that type."""
    path = swarm.policies[robot_type]
    text = _load(path, loaded)
    Controller(loaded[path], robot_type, swarm.robot_types[robot_type])
    return f"{text}, fits {robot_type}"


def _load(path: Path, loaded: dict[Path, Policy]) -> str:
    """See that a policy can be loaded, and keep it."""
    policy = loaded[path] = Policy.load(path)
    return f"{path}: {policy.manifest.name}, sha256 {policy.sha256[:12]}"


def _software() -> Iterator[Finding]:
    threads = len(os.sched_getaffinity(0))
    yield Finding("ok", f"Python {platform.python_version()}, {threads} CPU threads for this process")
    for name in NEEDED:
        found = _version(name)
        yield Finding("ok", f"{name} {found}") if found else Finding("fail", f"{name} is missing; pip install {name}")
    if find_spec("rclpy"):
        yield Finding("ok", f"rclpy {_version('rclpy') or _version('ros-rclpy') or 'of unknown version'}")
    else:
        remedy = "source a ROS distribution, or pip install 'kdmarl_ros[ros]'"
        yield Finding("warn", f"rclpy is missing, no node can run; {remedy}")
    for name, use in OPTIONAL.items():
        yield Finding("ok", f"{name} {_version(name) or 'is not here'}, needed for {use} only")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _domain(value: str) -> Finding:
    if not value:
        return Finding("warn", "ROS_DOMAIN_ID is not set, so everybody's robots on this network meet in 0; set one")
    if not value.isdecimal() or int(value) not in DOMAINS:
        return Finding("fail", f"ROS_DOMAIN_ID is '{value}'; give {DOMAINS[0]} to {DOMAINS[-1]}")
    if 101 < int(value) < 215:
        return Finding("warn", f"ROS_DOMAIN_ID is {value}, whose ports other programs may have; give 0 to 101")
    return Finding("ok", f"ROS_DOMAIN_ID is {value}")


def _transport(environment: Mapping[str, str]) -> Finding:
    """See that nodes keep off Fast DDS's shared memory, drivers too."""
    chosen = environment.get("FASTDDS_BUILTIN_TRANSPORTS", "")
    if "fastrtps" not in environment.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp"):
        return Finding("ok", f"RMW_IMPLEMENTATION is {environment['RMW_IMPLEMENTATION']}")
    delays = "messages come up to 0.3 s late when nodes come and go"
    if environment.get("ROS_AUTOMATIC_DISCOVERY_RANGE", "").upper() == "LOCALHOST":
        text = f"ROS_AUTOMATIC_DISCOVERY_RANGE is LOCALHOST, with which Fast DDS uses shared memory and {delays}"
        return Finding("warn", f"{text}; unset it where robots drive")
    if not chosen.startswith("UDP"):
        text = f"FASTDDS_BUILTIN_TRANSPORTS is {chosen or 'not set'}, so drivers on Fast DDS use shared memory"
        return Finding("warn", f"{text}, and {delays}; set it to UDPv4 for all nodes of the robot")
    return Finding("ok", f"FASTDDS_BUILTIN_TRANSPORTS is {chosen}")


def _writable(folder: Path, use: str) -> Finding:
    """See that files can be made in ``folder``, or in the nearest folder above it that exists."""
    there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        return Finding("ok", f"{folder} can be written ({use})")
    return Finding("fail", f"{folder} cannot be written ({use}); change the permissions of {there}")


def _folder(folder: Path, loaded: dict[Path, Policy]) -> Iterator[Finding]:
    """Compare the policy files of a folder with its list; those that are ``loaded`` as what was loaded of them."""
    if not (folder / SUMS).exists():
        advice = f"make a list where you trust the files: cd {folder} && sha256sum *.onnx > {SUMS}"
        yield Finding("warn", f"{folder} has no {SUMS}, so changed files go unnoticed; {advice}")
        return
    try:
        sums = read_sums(folder)
    except KdmarlError as error:
        yield Finding("fail", str(error))
        return
    wrong = [name for name, digest in sums.items() if _sha256(folder / name, loaded) != digest]
    for name in wrong:
        yield Finding("fail", f"{folder / name} is missing or not the file of {SUMS}; copy it again from its source")
    for path in sorted(folder.glob("*.onnx")):
        if path.name not in sums:
            yield Finding("warn", f"{path} is not in {SUMS}; remove it, or export it again to list it")
    yield Finding("ok", f"{len(sums) - len(wrong)} files of {folder} are those of {SUMS}")


def _sha256(path: Path, loaded: dict[Path, Policy]) -> str:
    if path in loaded:
        return loaded[path].sha256
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""
