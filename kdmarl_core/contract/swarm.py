"""The swarm file: which robots exist, what they carry, where they start and where they go."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec

from kdmarl_core.contract.bounds import Positive
from kdmarl_core.contract.files import load_yaml, resolve
from kdmarl_core.contract.names import check_name, is_namespace
from kdmarl_core.contract.node_parameters import Defaults, NodeParameters
from kdmarl_core.contract.robots import RobotType, load_robot_types
from kdmarl_core.contract.worlds import GazeboWorld, World, WorldFile, world_clearance
from kdmarl_core.errors import KdmarlError, did_you_mean, naming

SCHEMA_VERSION = 1


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of the swarm file's parts: strict, immutable, keywords only."""


class Robot(_Part, frozen=True, kw_only=True):
    """One robot of the swarm."""

    name: str
    """its ROS namespace, such as ``scout_1`` or ``fleet/TB3_1``, without the slash in front"""
    type: str
    pose: tuple[float, float, float]
    """start x, y [m] and yaw [rad] in the swarm's frame"""
    goal: tuple[float, float] | None = None
    """x, y in the swarm's frame [m]; None where the swarm has targets"""
    parameters: NodeParameters = NodeParameters()
    """of its policy node alone"""

    def full_name(self, topic: str) -> str:
        """Of a topic in its namespace, unless that begins with /."""
        return topic if topic.startswith("/") else f"/{self.name}/{topic}"


class Bars(_Part, frozen=True, kw_only=True):
    """What a judged run must reach to pass."""

    goals_reached: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.9
    """share of robots at their goal, or of targets that are covered, at the end"""
    collisions_per_robot: Annotated[float, msgspec.Meta(ge=0)] = 0.05


class SwarmFile(_Part, frozen=True, kw_only=True):
    """The file as written; :func:`load_swarm` resolves it into a :class:`Swarm`."""

    schema_version: int
    name: str
    task: str
    robot_types: str
    """YAML file of robot types, relative to this file"""
    policies: dict[str, str]
    """robot type → policy file, relative to this file"""
    frame: Annotated[str, msgspec.Meta(min_length=1)] = "map"
    """of all places here, and of every robot's odometry"""
    robots: Annotated[list[Robot], msgspec.Meta(min_length=1, max_length=256)]
    targets: Annotated[list[tuple[float, float]], msgspec.Meta(max_length=256)] = []
    """x, y of the places that the robots share out among themselves, instead of goals, in the swarm's frame [m]"""
    landmarks: Annotated[list[tuple[float, float]], msgspec.Meta(max_length=256)] = []
    """x, y of places that every robot observes in addition to its goal, such as a door, in the swarm's frame [m]"""
    world: WorldFile | None = None
    """for simulators; None where the world is real"""
    goal_tolerance: Positive = 0.3
    """distance at which a robot counts as at its goal, or at a target [m]"""
    defaults: Defaults = Defaults()
    type_parameters: dict[str, NodeParameters] = {}
    """robot type → parameters of the policy nodes of its robots"""
    bars: Bars = Bars()


class Swarm(_Part, frozen=True, kw_only=True):
    """A validated swarm: every type is known, every path absolute, every robot apart from the others."""

    path: Path
    name: str
    task: str
    robot_types_file: Path
    robot_types: dict[str, RobotType]
    policies: dict[str, Path]
    frame: str
    robots: list[Robot]
    targets: list[tuple[float, float]] = []
    landmarks: list[tuple[float, float]] = []
    world: World | None
    """None where it is real, or Gazebo's own"""
    gazebo: GazeboWorld | None = None
    models: dict[str, Path] = {}
    """robot type → its own model for Gazebo"""
    goal_tolerance: float
    defaults: Defaults
    type_parameters: dict[str, NodeParameters] = {}
    bars: Bars

    def parameters(self, robot: Robot) -> Defaults:
        """Of the policy node of ``robot``: its own, else those of its type, else those of all robots."""
        of_type = self.type_parameters.get(robot.type, NodeParameters())
        return self.defaults.changed(of_type).changed(robot.parameters)

    def frame_prefix(self, robot: Robot) -> str:
        """What the names of a robot's frames begin with in our simulators."""
        given = self.parameters(robot).frame_prefix
        return f"{robot.name}/" if given is None else given

    @property
    def remapped(self) -> list[tuple[Robot, str]]:
        """Robots and the topics of theirs that have other names."""
        return [(robot, topic) for robot in self.robots for topic in self.parameters(robot).remappings]

    def robot_type(self, robot: Robot) -> RobotType:
        """The type of ``robot``."""
        return self.robot_types[robot.type]

    def only(self, names: list[str]) -> Swarm:
        """The same swarm with the named robots only.

        Raises:
            KdmarlError: a name is not in the swarm.
        """
        known = [robot.name for robot in self.robots]
        for name in names:
            if name not in known:
                raise KdmarlError(f"{self.path}: no robot '{name}'; the swarm has {', '.join(known)}")
        return msgspec.structs.replace(self, robots=[robot for robot in self.robots if robot.name in names])


def load_swarm(path: Path | str, allow_outside: bool = False) -> Swarm:
    """Read and check a swarm file.

    Args:
        path: of the file.
        allow_outside: let it name files that are not in its :func:`project`.

    Raises:
        KdmarlError: something is missing, unknown, doubled, overlapping or outside the arena or the project.
    """
    path = resolve(path)
    file = load_yaml(path, SwarmFile)
    if file.schema_version != SCHEMA_VERSION:
        raise KdmarlError(
            f"{path}: schema_version is {file.schema_version}, this version of kdmarl reads {SCHEMA_VERSION}"
        )
    types_file = _named(path, "robot_types", file.robot_types, allow_outside)
    robot_types = load_robot_types(types_file)
    swarm = Swarm(
        path=path,
        name=file.name,
        task=file.task,
        robot_types_file=types_file,
        robot_types=robot_types,
        policies={name: _named(path, "policies", policy, allow_outside) for name, policy in file.policies.items()},
        frame=file.frame,
        robots=file.robots,
        targets=file.targets,
        landmarks=file.landmarks,
        world=file.world.arena if file.world else None,
        gazebo=_gazebo_world(path, file.world, allow_outside),
        models={
            name: _named(types_file, f"{name}: model", known.own_model.file, allow_outside)
            for name, known in robot_types.items()
            if known.own_model
        },
        goal_tolerance=file.goal_tolerance,
        defaults=file.defaults,
        type_parameters=file.type_parameters,
        bars=file.bars,
    )
    _check_names(swarm)
    _check_parameters(swarm)
    for policy in sorted({swarm.policies[robot.type] for robot in swarm.robots}):
        if not policy.is_file():
            raise KdmarlError(f"{path}: policies: {policy}: no such file; check the path")
    _check_goals(swarm)
    check_places(swarm)
    return swarm


def _gazebo_world(path: Path, world: WorldFile | None, allow_outside: bool) -> GazeboWorld | None:
    if world is None or world.size:
        return None
    sdf = _named(path, "world: sdf", world.sdf, allow_outside) if world.sdf else None
    return GazeboWorld(sdf, world.running)


def project(path: Path) -> Path:
    """The folder whose files the swarm file at ``path`` may name: what was made or copied together.

    It is the nearest folder around the file that has a ``package.xml``, or a folder ``config`` in which the file lies;
    without such a one, the file's own folder.
    """
    for folder in path.parents[:-1]:  # never the whole disk
        if (folder / "package.xml").is_file() or folder / "config" in path.parents:
            return folder
    return path.parent


def _named(path: Path, key: str, name: str, allow_outside: bool) -> Path:
    """The file that the swarm file at ``path`` calls ``name``, with all links followed."""
    found = resolve(path.parent / name)
    root = project(path)
    if not (allow_outside or found.is_relative_to(root)):
        raise KdmarlError(
            f"{path}: {key}: {name} is outside of {root}; move it there, or trust the file and allow it (allow_outside)"
        )
    return found


def _check_names(swarm: Swarm) -> None:
    seen: set[str] = set()
    for index, robot in enumerate(swarm.robots):
        where = f"{swarm.path}: $.robots[{index}]"
        with naming(where):
            check_name(robot.name)
        if robot.name in seen:
            raise KdmarlError(f"{where}: a robot named '{robot.name}' already exists; give each robot its own name")
        seen.add(robot.name)
        for what, known in (("robot_types", swarm.robot_types), ("policies", swarm.policies)):
            if robot.type not in known:
                raise KdmarlError(
                    f"{where}: type '{robot.type}' is not in {what} ({', '.join(sorted(known))}); add it there"
                )


def _check_parameters(swarm: Swarm) -> None:
    """Types that have parameters are known, and topics that replace others are names."""
    for name in swarm.type_parameters:
        if name not in swarm.robot_types:
            remedy = did_you_mean(name, swarm.robot_types)
            raise KdmarlError(f"{swarm.path}: type_parameters: '{name}' is not in robot_types; {remedy}")
    for robot in swarm.robots:
        given = swarm.parameters(robot)
        if given.frame_prefix and given.frame_prefix.startswith("/"):
            raise KdmarlError(
                f"{swarm.path}: robot '{robot.name}': frame_prefix is '{given.frame_prefix}'; frames begin with no /"
            )
        for topic, other in given.remappings.items():
            if not is_namespace(other.removeprefix("/")):
                raise KdmarlError(
                    f"{swarm.path}: robot '{robot.name}': remappings: {topic}: '{other}' is not the name of a topic; "
                    "use letters, digits and _, parts joined by single /"
                )


def _check_goals(swarm: Swarm) -> None:
    """Every robot has a goal, or the swarm has targets."""
    for robot in swarm.robots:
        where = f"{swarm.path}: robot '{robot.name}'"
        if robot.goal is None and not swarm.targets:
            raise KdmarlError(f"{where} has no goal; give it a goal, or the file targets")
        if robot.goal is not None and swarm.targets:
            raise KdmarlError(f"{where} has a goal although the file has targets; take out one of both")
    if swarm.landmarks and swarm.targets:
        raise KdmarlError(f"{swarm.path}: has landmarks although it has targets; take out one of both")


def check_places(swarm: Swarm) -> None:
    """See that starts, goals, targets and landmarks lie inside the arena, clear of obstacles and of each other.

    Raises:
        KdmarlError: one does not.
    """
    radius = {robot.name: swarm.robot_type(robot).radius for robot in swarm.robots}
    starts = [(f"robot '{robot.name}'", robot.pose, radius[robot.name]) for robot in swarm.robots]
    goals = [(f"robot '{robot.name}'", robot.goal, radius[robot.name]) for robot in swarm.robots if robot.goal]
    # Any robot may cover any target.
    targets = [(f"$.targets[{index}]", place, max(radius.values())) for index, place in enumerate(swarm.targets)]
    _check_apart(swarm, "pose", starts)
    _check_apart(swarm, "goal", goals)
    _check_apart(swarm, "place", targets)
    _check_apart(swarm, "place", [(f"$.landmarks[{index}]", place, 0.0) for index, place in enumerate(swarm.landmarks)])


def _check_apart(swarm: Swarm, what: str, places: Sequence[tuple[str, tuple[float, ...], float]]) -> None:
    """``places`` (owner; x, y [m] and maybe yaw [rad]; radius [m]) are free and do not overlap."""
    for index, (owner, place, radius) in enumerate(places):
        where = f"{swarm.path}: {owner}: {what} [{place[0]:g}, {place[1]:g}]"
        if not all(math.isfinite(value) for value in place):
            raise KdmarlError(f"{where} is not finite; give numbers in metres")
        if swarm.world and world_clearance(swarm.world, *place[:2]) < radius:
            raise KdmarlError(f"{where} touches a wall or pillar (radius {radius} m); move it")
        for other, there, size in places[:index]:
            if math.dist(place[:2], there[:2]) < radius + size:
                raise KdmarlError(f"{where} overlaps that of {other}; move one of them")
