"""Policy files: alone, on the robots of a swarm file, and against their checksums."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Literal

from kdmarl_core.contract import KdmarlError, Swarm, load_swarm
from kdmarl_core.contract.checksums import SUMS, read_sums
from kdmarl_core.contract.kinematics import require_kinematics
from kdmarl_core.contract.manifest import require_sensed
from kdmarl_core.contract.node_parameters import Defaults
from kdmarl_core.contract.team_terms import Targets
from kdmarl_core.contract.terms import Goal
from kdmarl_core.doctor.findings import Finding, attempt
from kdmarl_core.runtime import Controller, Policy
from kdmarl_core.runtime.controller import SENSOR_SPACING


def in_folder(models: Path) -> Iterator[Finding]:
    """Check each policy file of a folder."""
    loaded: dict[Path, Policy] = {}
    files = sorted(models.glob("*.onnx"))
    if not files:
        yield Finding("fail", f"{models} has no policy files; give a swarm file, or their folder with --models")
        return
    loads = [finding for path in files for finding in attempt(partial(_look, path, loaded))]
    yield from _folder(models, loaded)
    yield from loads


def of_swarm(path: Path, allow_outside: bool) -> Iterator[Finding]:
    """Check each type's policy file on its robots, as their nodes do.

    Args:
        path: of the swarm file.
        allow_outside: as in :func:`~kdmarl_core.contract.load_swarm`.
    """
    loaded: dict[Path, Policy] = {}
    try:
        swarm = load_swarm(path, allow_outside)
    except KdmarlError as error:
        yield Finding("fail", str(error))
        return
    world = ", no world to simulate: for real robots (sim none)"
    if swarm.world or swarm.gazebo:
        world = "" if swarm.world else ", in a world of Gazebo's own (sim gazebo)"
    yield Finding("ok", f"{path}: {len(swarm.robots)} robots{world}")
    used = sorted({robot.type for robot in swarm.robots})
    given = [(robot.type, swarm.parameters(robot)) for robot in swarm.robots]
    distinct = {(robot_type, each.trigger, each.scan_guard): each for robot_type, each in given}
    fits = [
        finding
        for (robot_type, *_), each in sorted(distinct.items(), key=lambda item: item[0][0])
        for finding in attempt(partial(_fit, swarm, robot_type, each, loaded))
    ]
    for folder in sorted({swarm.policies[robot_type].parent for robot_type in used}):
        yield from _folder(folder, loaded)
    yield from fits


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
