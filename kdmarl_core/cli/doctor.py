"""What ``kdmarl doctor`` does: check everything that must be right before a policy drives a robot.

Needs neither torch nor ROS, and imports neither.
"""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
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
from kdmarl_core.contract.kinematics import require_kinematics
from kdmarl_core.contract.manifest import require_sensed
from kdmarl_core.contract.node_parameters import Defaults
from kdmarl_core.contract.ros_environment import LOGS, domain, log_folder, require_writable
from kdmarl_core.contract.team_terms import Targets
from kdmarl_core.contract.terms import Goal
from kdmarl_core.errors import printable
from kdmarl_core.runtime import Controller, Policy
from kdmarl_core.runtime.controller import SENSOR_SPACING

NEEDED = ("numpy", "msgspec", "onnxruntime", "PyYAML", "rich", "typer")
OPTIONAL = {"mujoco": "simulation", "torch": "training"}
STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


class Finding(NamedTuple):
    """One line of the report; warnings and failures include a remedy."""

    level: Literal["ok", "warn", "fail"]
    text: str


def doctor(swarm_path: Path | None, models: Path, allow_outside: bool) -> int:
    """Print the findings, one per line, and return 1 if something fails, else 0.

    Args:
        swarm_path: swarm file whose policies are checked against its robots; None checks the files of ``models``.
        models: folder of policy files, used without a swarm file.
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
    yield from _attempt(partial(_domain, os.environ))
    yield _transport(os.environ)
    yield from _attempt(partial(_writable, Path("runs"), "output of runs"))
    yield from _attempt(partial(_logs, os.environ))
    loaded: dict[Path, Policy] = {}
    if swarm_path is None:
        files = sorted(models.glob("*.onnx"))
        if not files:
            yield Finding("fail", f"{models} has no policy files; give a swarm file, or their folder with --models")
            return
        loads = [finding for path in files for finding in _attempt(partial(_look, path, loaded))]
        yield from _folder(models, loaded)
        yield from loads
        return
    try:
        swarm = load_swarm(swarm_path, allow_outside)
    except KdmarlError as error:
        yield Finding("fail", str(error))
        return
    world = "" if swarm.world else ", no world to simulate: for real robots (sim none)"
    yield Finding("ok", f"{swarm_path}: {len(swarm.robots)} robots{world}")
    used = sorted({robot.type for robot in swarm.robots})
    given = [(robot.type, swarm.parameters(robot)) for robot in swarm.robots]
    distinct = {(robot_type, each.trigger, each.scan_guard): each for robot_type, each in given}
    fits = [
        finding
        for (robot_type, *_), each in sorted(distinct.items(), key=lambda item: item[0][0])
        for finding in _attempt(partial(_fit, swarm, robot_type, each, loaded))
    ]
    for folder in sorted({swarm.policies[robot_type].parent for robot_type in used}):
        yield from _folder(folder, loaded)
    yield from fits


def _attempt(check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """The findings of a check; an error becomes a failure with its sentence."""
    try:
        yield from check()
    except KdmarlError as error:
        yield Finding("fail", str(error))


def _fit(swarm: Swarm, robot_type: str, settings: Defaults, loaded: dict[Path, Policy]) -> Iterator[Finding]:
    """Put a type's policy on a robot as its node does, and check that the file has goals or targets for it."""
    path = swarm.policies[robot_type]
    text = _load(path, loaded)
    spacing = SENSOR_SPACING if settings.trigger == "sensor" else 1.0
    put = partial(Controller, loaded[path], robot_type, swarm.robot_types[robot_type], spacing=spacing)
    put(scan_guard=bool(settings.scan_guard))
    yield Finding("ok", f"{text}, fits {robot_type}")
    if settings.scan_guard is None:  # on with real robots, off in simulation
        try:
            put(scan_guard=True)
        except KdmarlError as error:
            level: Literal["warn", "fail"] = "warn" if swarm.world else "fail"
            yield Finding(level, f"{robot_type}: on real robots (sim none) the node reports: {error}")
    terms = loaded[path].manifest.observation
    if any(isinstance(term, Goal) for term in terms) and swarm.targets:
        yield _waiting(swarm, robot_type, "goal_pose", "a goal, but the swarm has targets; give the robots goals")
    if any(isinstance(term, Targets) for term in terms) and not (swarm.targets or swarm.landmarks):
        yield _waiting(swarm, robot_type, "targets", "targets, but the swarm has none; give it targets or landmarks")


def _waiting(swarm: Swarm, robot_type: str, topic: str, why: str) -> Finding:
    return Finding(
        "warn", f"{swarm.path}: each {robot_type} stands until a message arrives on {topic}: its policy needs {why}"
    )


def _look(path: Path, loaded: dict[Path, Policy]) -> Iterator[Finding]:
    """Check that a policy can be loaded, and whether a robot could run it."""
    text = _load(path, loaded)
    manifest = loaded[path].manifest
    try:
        require_kinematics(manifest.action, str(path))
        require_sensed(manifest.observation, str(path))
    except KdmarlError as error:
        yield Finding("warn", f"{text}, for simulation only: {error}")
    else:
        yield Finding("ok", text)


def _load(path: Path, loaded: dict[Path, Policy]) -> str:
    """Check that a policy can be loaded, and cache it."""
    policy = loaded[path] = Policy.load(path)
    return f"{path}: {policy.manifest.name}, sha256 {policy.sha256[:12]}"


def _software() -> Iterator[Finding]:
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


def _domain(environment: Mapping[str, str]) -> Iterator[Finding]:
    number = domain(environment)
    if number is None:
        yield Finding("warn", "ROS_DOMAIN_ID is not set, so all robots on this network share domain 0; set one")
    elif 101 < number < 215:
        yield Finding("warn", f"ROS_DOMAIN_ID is {number}, whose ports other programs may use; give 0 to 101")
    else:
        yield Finding("ok", f"ROS_DOMAIN_ID is {number}")


def _transport(environment: Mapping[str, str]) -> Finding:
    """Check that nodes, including drivers, do not use Fast DDS's shared memory."""
    chosen = environment.get("FASTDDS_BUILTIN_TRANSPORTS", "")
    if "fastrtps" not in environment.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp"):
        return Finding("ok", f"RMW_IMPLEMENTATION is {environment['RMW_IMPLEMENTATION']}")
    delays = "messages are up to 0.3 s late when nodes start or end"
    if local := _local(environment):
        text = f"{local}, so Fast DDS uses shared memory and {delays}"
        return Finding("warn", f"{text}; unset it where robots drive")
    if not chosen.startswith("UDP"):
        text = f"FASTDDS_BUILTIN_TRANSPORTS is {chosen or 'not set'}, so drivers on Fast DDS use shared memory"
        return Finding("warn", f"{text}, and {delays}; set it to UDPv4 for all nodes of the robot")
    return Finding("ok", f"FASTDDS_BUILTIN_TRANSPORTS is {chosen}")


def _local(environment: Mapping[str, str]) -> str:
    """The setting that restricts nodes to this computer, as ROS reads it; empty if there is none."""
    if environment.get("ROS_LOCALHOST_ONLY") == "1":
        return "ROS_LOCALHOST_ONLY is 1"
    name = "ROS_AUTOMATIC_DISCOVERY_RANGE"
    chosen = environment.get(name, "")
    if chosen in ("", "SUBNET", "OFF", "SYSTEM_DEFAULT"):
        return ""
    return f"{name} is LOCALHOST" if chosen == "LOCALHOST" else f"{name} is {chosen}, which ROS treats as LOCALHOST"


def _logs(environment: Mapping[str, str]) -> Iterator[Finding]:
    yield from _writable(log_folder(environment), LOGS)


def _writable(folder: Path, use: str) -> Iterator[Finding]:
    require_writable(folder, use)
    yield Finding("ok", f"{folder} can be written ({use})")


def _folder(folder: Path, loaded: dict[Path, Policy]) -> Iterator[Finding]:
    """Compare the policy files of a folder with its checksums; ``loaded`` files by their loaded content."""
    if not (folder / SUMS).exists():
        advice = f"if you trust the files, make one: cd {folder} && sha256sum *.onnx > {SUMS}"
        yield Finding("warn", f"{folder} has no {SUMS}, so changed files go unnoticed; {advice}")
        return
    try:
        sums = read_sums(folder)
    except KdmarlError as error:
        yield Finding("fail", str(error))
        return
    wrong = [name for name, digest in sums.items() if _sha256(folder / name, loaded) != digest]
    for name in wrong:
        yield Finding("fail", f"{folder / name} is missing or does not match {SUMS}; copy it again from its source")
    for path in sorted(folder.glob("*.onnx")):
        if path.name not in sums:
            yield Finding("warn", f"{path} is not in {SUMS}; remove it, or export it again to list it")
    yield Finding("ok", f"{len(sums) - len(wrong)} files of {folder} match {SUMS}")


def _sha256(path: Path, loaded: dict[Path, Policy]) -> str:
    if path in loaded:
        return loaded[path].sha256
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""
