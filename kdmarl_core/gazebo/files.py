"""The files that Gazebo and its bridge take, in one folder."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import Element

from msgspec.structs import replace

from kdmarl_core.contract import KdmarlError, Robot, Swarm
from kdmarl_core.contract.node_parameters import TRUTH
from kdmarl_core.contract.swarm import check_places
from kdmarl_core.gazebo.elements import text_of
from kdmarl_core.gazebo.models import model_copy
from kdmarl_core.gazebo.obstacles import obstacles_of
from kdmarl_core.gazebo.robots import robot_model
from kdmarl_core.gazebo.topics import CLOCK, bridge_file, bridged
from kdmarl_core.gazebo.versions import SDF, Lidars, Release
from kdmarl_core.gazebo.world import check_own_world, world_file, world_name

WORLD, MODELS, BRIDGE, SPAWN = "world.sdf", "models", "bridge.yaml", "spawn.sh"
"""Names of the files, and of the folder of robots' models."""


class Spawn(NamedTuple):
    """A robot that is put into the world."""

    robot: str
    """its name, and its model's"""
    arguments: list[str]
    """of ``create`` of ``ros_gz_sim``"""
    truth: str
    """topic in Gazebo on which it then says where it is"""


class Files(NamedTuple):
    """What was written, and what to do with it."""

    world: Path | None
    """None where Gazebo already runs"""
    world_name: str
    bridge: Path
    spawns: list[Spawn]
    """in the order of the swarm file"""
    obstacles: str
    """what the judge will know of obstacles, in words"""


def write(
    swarm: Swarm, folder: Path, release: Release, lidars: Lidars, factor: float = 1.0, clock: str | None = CLOCK
) -> Files:
    """Write the world, unless it is somebody's own, a model for each robot, and the bridge file.

    Args:
        swarm: to simulate.
        folder: is made if need be.
        release: of Gazebo.
        lidars: how distances are measured.
        factor: simulated over real time, of a world that is made; 0 is as fast as possible.
        clock: topic in ROS 2 of Gazebo's clock; None where the bridge leaves it to another.

    Raises:
        KdmarlError: the swarm cannot be simulated in Gazebo, or a file cannot be written.
    """
    texts: dict[str, str] = {}
    world, name = _world(swarm, folder, release, lidars)
    if swarm.world:
        texts[WORLD] = world_file(swarm.name, swarm.world, release, lidars, factor)
    obstacles = obstacles_of(swarm)
    if swarm.gazebo:
        check_places(replace(swarm, world=obstacles.world))
    topics, spawns = {}, []
    for robot in swarm.robots:
        if robot.type in swarm.models:
            text, kind, topics[robot.name] = model_copy(swarm, robot, release, lidars)
        else:
            _check_odometry(swarm, robot)
            text, kind = _file_of(robot_model(swarm, robot, release, lidars)), "sdf"
        file = f"{MODELS}/{robot.name}.{kind}"
        texts[file] = text
        spawns.append(_spawn(swarm, robot, name, folder / file))
    texts[BRIDGE] = bridge_file(bridged(swarm, topics, clock), release)
    texts[SPAWN] = "".join(f"ros2 run ros_gz_sim create {shlex.join(spawn.arguments)}\n" for spawn in spawns)
    try:
        for file, text in texts.items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(text, encoding="utf-8")
    except OSError as error:
        raise KdmarlError(f"{folder} cannot be written: {error.strerror}; choose another folder") from None
    return Files(world, name, folder / BRIDGE, spawns, obstacles.said)


def _world(swarm: Swarm, folder: Path, release: Release, lidars: Lidars) -> tuple[Path | None, str]:
    """The file of the world, and the world's name."""
    if swarm.world:
        return folder / WORLD, world_name(swarm.name)
    if swarm.gazebo is None:
        raise KdmarlError(
            f"{swarm.path}: has no 'world', so there is nothing to simulate; add one with its size, or with the sdf "
            "file of your own"
        )
    if swarm.gazebo.sdf:
        return swarm.gazebo.sdf, check_own_world(swarm, swarm.gazebo.sdf, release, lidars)
    return None, swarm.gazebo.running or ""


def _check_odometry(swarm: Swarm, robot: Robot) -> None:
    """Nothing in a generated world publishes tf."""
    if swarm.world and swarm.parameters(robot).pose_source == "tf":
        raise KdmarlError(
            f"{swarm.path}: robot '{robot.name}': pose_source is 'tf', and nothing publishes tf in generated Gazebo "
            "worlds; leave it out, or give 'pose'"
        )


def _file_of(model: Element) -> str:
    root = Element("sdf", version=SDF)
    root.append(model)
    return text_of(root)


def _spawn(swarm: Swarm, robot: Robot, world: str, file: Path) -> Spawn:
    own = swarm.robot_type(robot).own_model
    x, y, yaw = robot.pose
    places = {"x": x, "y": y, "z": own.z if own else 0.0, "Y": yaw}
    numbers = [part for name, value in places.items() for part in (f"-{name}", f"{value:.6f}")]
    arguments = ["-world", world, "-name", robot.name, "-file", str(file.resolve()), *numbers]
    return Spawn(robot.name, arguments, robot.full_name(TRUTH))
