"""The MuJoCo model of a swarm: arena, pillars, walls and robots, as an ``MjSpec``."""

from __future__ import annotations

import math

from kdmarl_core.contract import DiffDrive, KdmarlError, Kinematics, Robot, RobotType, Swarm, World
from kdmarl_core.contract.kinematics import Holonomic
from kdmarl_core.mujoco.base import CASTER, Base
from kdmarl_core.mujoco.diff_drive import WHEEL, DiffDriveBase
from kdmarl_core.mujoco.holonomic import HolonomicBase

try:
    import mujoco
except ModuleNotFoundError:  # MujocoWorld says so in one sentence
    mujoco = None

TIMESTEP = 0.005
"""Physics step [s]."""
SEEN_GROUP = 0
"""Geom group of what a lidar sees: chassis, pillars and walls; wheels, casters and floor are in ``HIDDEN_GROUP``."""
HIDDEN_GROUP = 3
FLOOR = "arena:floor"
"""Names of all but the chassis have a colon, which no robot's name can have: a robot may be called ``floor``."""

WALL_HEIGHT = 0.5
# Thin, because a wall segment of the swarm file is a line to the training simulator and to the judge.
WALL_HALF_THICKNESS = 0.005
ARENA_HALF_THICKNESS = 0.05

BASES: dict[type[Kinematics], type[Base]] = {DiffDrive: DiffDriveBase, Holonomic: HolonomicBase}
"""What drives the robots of each kinematics: add your own class here."""


def scan_height(swarm: Swarm) -> float:
    """Height of every robot's scan plane [m]: 0.12, or lower where a chassis would not reach it."""
    return min(0.12, 0.8 * min(swarm.robot_type(robot).height for robot in swarm.robots))


def model_spec(swarm: Swarm) -> mujoco.MjSpec:
    """The MuJoCo model of ``swarm``, not compiled yet.

    Contacts: wheels and casters touch the floor only; chassis, pillars and walls touch each other only, as do geoms
    that are added without a class. The body ``<robot>:body`` has its origin on the floor below the robot's middle, x
    ahead; what moves it is up to the class of its kinematics in ``BASES``.

    Raises:
        KdmarlError: the swarm file has no world.
    """
    if swarm.world is None:
        raise KdmarlError(f"{swarm.path}: has no 'world', so there is nothing to simulate; add one with its size")
    spec = mujoco.MjSpec()
    spec.modelname = "kdmarl"
    spec.compiler.degree = False
    spec.option.timestep = TIMESTEP
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_EULER
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.impratio = 10
    _add_classes(spec)
    spec.worldbody.add_geom(
        name=FLOOR,
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        size=[0, 0, 1],
        contype=1,
        conaffinity=0,
        group=HIDDEN_GROUP,
        friction=[1, 0, 0],
    )
    _add_arena(spec.worldbody, swarm.world)
    for robot in swarm.robots:
        _add_robot(spec, robot, swarm.robot_type(robot))
    return spec


def _add_classes(spec: mujoco.MjSpec) -> None:
    """Set what all geoms have in common, and what wheels and casters have."""
    seen = spec.default.geom
    seen.contype, seen.conaffinity, seen.group = 2, 2, SEEN_GROUP
    seen.friction, seen.condim = [0.3, 0, 0], 3
    wheel = spec.add_default(WHEEL, spec.default).geom
    wheel.type = mujoco.mjtGeom.mjGEOM_ELLIPSOID
    wheel.contype, wheel.conaffinity, wheel.group = 0, 1, HIDDEN_GROUP
    wheel.friction = [1, 0, 0]
    caster = spec.add_default(CASTER, spec.default).geom
    caster.type = mujoco.mjtGeom.mjGEOM_SPHERE
    caster.contype, caster.conaffinity, caster.group = 0, 1, HIDDEN_GROUP
    # A contact takes the larger friction of its two geoms unless one of them has priority.
    caster.priority, caster.friction = 1, [0.005, 0, 0]


def _add_arena(parent: mujoco.MjsBody, world: World) -> None:
    half_x, half_y, thick = world.size[0] / 2, world.size[1] / 2, ARENA_HALF_THICKNESS
    sides = [(half_x + thick, 0.0, thick, half_y + 2 * thick), (0.0, half_y + thick, half_x, thick)]
    for index, (x, y, half_length, half_width) in enumerate(sides):
        for sign in (-1, 1):
            _add_box(parent, f"wall:side_{index}_{sign:+d}", sign * x, sign * y, half_length, half_width, 0.0)
    for index, (x1, y1, x2, y2) in enumerate(world.walls):
        half_length = max(math.hypot(x2 - x1, y2 - y1) / 2, WALL_HALF_THICKNESS)
        yaw = math.atan2(y2 - y1, x2 - x1)
        _add_box(parent, f"wall:{index}", (x1 + x2) / 2, (y1 + y2) / 2, half_length, WALL_HALF_THICKNESS, yaw)
    for index, (x, y, radius) in enumerate(world.discs):
        parent.add_geom(
            name=f"pillar:{index}",
            type=mujoco.mjtGeom.mjGEOM_CYLINDER,
            size=[radius, WALL_HEIGHT / 2, 0],
            pos=[x, y, WALL_HEIGHT / 2],
        )


def _add_box(
    parent: mujoco.MjsBody, name: str, x: float, y: float, half_length: float, half_width: float, yaw: float
) -> None:
    parent.add_geom(
        name=name,
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=[half_length, half_width, WALL_HEIGHT / 2],
        pos=[x, y, WALL_HEIGHT / 2],
        euler=[0, 0, yaw],
    )


def _add_robot(spec: mujoco.MjSpec, robot: Robot, robot_type: RobotType) -> None:
    x, y, yaw = robot.pose
    body = spec.worldbody.add_body(name=f"{robot.name}:body", pos=[x, y, 0], euler=[0, 0, yaw])
    body.add_freejoint(name=robot.name)
    BASES[type(robot_type.action)].add(spec, body, robot, robot_type)
