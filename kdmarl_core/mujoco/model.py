"""The MuJoCo model of a swarm: arena, pillars, walls and robots, as an ``MjSpec``."""

from __future__ import annotations

from kdmarl_core.contract import DiffDrive, KdmarlError, Kinematics, Robot, RobotType, Swarm, World
from kdmarl_core.contract.kinematics import Holonomic
from kdmarl_core.contract.solids import TIMESTEP, WALL_HEIGHT, boxes
from kdmarl_core.mujoco.base import CASTER, Base
from kdmarl_core.mujoco.diff_drive import WHEEL, DiffDriveBase
from kdmarl_core.mujoco.holonomic import HolonomicBase

try:
    import mujoco
except ModuleNotFoundError:  # MujocoWorld says so in one sentence
    mujoco = None

SEEN_GROUP = 0
"""Geom group of what a lidar sees: chassis, pillars and walls; wheels, casters and floor are in ``HIDDEN_GROUP``."""
HIDDEN_GROUP = 3
FLOOR = "arena:floor"
"""Names of all but the chassis have a colon, which no robot's name can have: a robot may be called ``floor``."""

BASES: dict[type[Kinematics], type[Base]] = {DiffDrive: DiffDriveBase, Holonomic: HolonomicBase}
"""What drives the robots of each kinematics: add your own class here."""


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
    for box in boxes(world):
        parent.add_geom(
            name=f"wall:{box.name}",
            type=mujoco.mjtGeom.mjGEOM_BOX,
            size=[box.half_length, box.half_width, WALL_HEIGHT / 2],
            pos=[box.x, box.y, WALL_HEIGHT / 2],
            euler=[0, 0, box.yaw],
        )
    for index, (x, y, radius) in enumerate(world.discs):
        parent.add_geom(
            name=f"pillar:{index}",
            type=mujoco.mjtGeom.mjGEOM_CYLINDER,
            size=[radius, WALL_HEIGHT / 2, 0],
            pos=[x, y, WALL_HEIGHT / 2],
        )


def _add_robot(spec: mujoco.MjSpec, robot: Robot, robot_type: RobotType) -> None:
    x, y, yaw = robot.pose
    body = spec.worldbody.add_body(name=f"{robot.name}:body", pos=[x, y, 0], euler=[0, 0, yaw])
    body.add_freejoint(name=robot.name)
    BASES[type(robot_type.action)].add(spec, body, robot, robot_type)
