"""Swarms for simulator and judge tests, in memory or as files with hand-made policies."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import yaml

from kdmarl_core.contract import Robot, Swarm, Term, World, load_robot_types
from kdmarl_core.contract.node_parameters import Defaults
from kdmarl_core.contract.swarm import Bars
from support import REPOSITORY, ROBOT_TYPES, write_policy

CROSSING = REPOSITORY / "config" / "swarms" / "crossing.yaml"


def make_swarm(robots: list[Robot], **world: object) -> Swarm:
    """A swarm of ``robots`` in an 8 m arena; ``world`` gives its size, discs and walls."""
    return Swarm(
        path=Path("test_swarm.yaml"),
        name="test",
        task="navigation",
        robot_types_file=ROBOT_TYPES,
        robot_types=load_robot_types(ROBOT_TYPES),
        policies={},
        frame="map",
        robots=robots,
        world=World(**{"size": (8.0, 8.0), **world}),
        goal_tolerance=0.3,
        defaults=Defaults(),
        bars=Bars(),
    )


def robot(name: str = "scout_1", kind: str = "scout", pose=(0.0, 0.0, 0.0), goal=(2.0, 0.0)) -> Robot:
    """One robot; ``goal`` is None in a swarm with targets."""
    return Robot(name=name, type=kind, pose=pose, goal=goal)


def write_swarm(
    directory: Path,
    robots: list[Robot] | None = None,
    like: Path = CROSSING,
    observation: list[Term] | None = None,
    **changes: object,
) -> Path:
    """The swarm of ``like`` as a file with hand-made policies next to it; ``robots`` and ``changes`` replace parts.

    ``observation`` are the terms of the policies, as for :func:`write_policy`.
    """
    data = yaml.safe_load(like.read_text())
    kinds = {*data["policies"], *(robot.type for robot in robots or [])}
    policies = {kind: str(write_policy(directory / f"{kind}.onnx", kind, observation=observation)) for kind in kinds}
    shutil.copy(ROBOT_TYPES, directory)
    data |= {"robot_types": ROBOT_TYPES.name, "policies": policies}
    if robots is not None:
        data["robots"] = msgspec.to_builtins(robots)
    data |= changes
    path = directory / "swarm.yaml"
    path.write_text(yaml.safe_dump(data))
    return path
