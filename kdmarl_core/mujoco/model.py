"""The MuJoCo model of a swarm: arena, pillars, walls and differential-drive robots, as an ``MjSpec``."""

from __future__ import annotations

import math
from typing import NamedTuple

from kdmarl_core.contract import KdmarlError, Robot, RobotType, Swarm, World

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

SIDES = ("left", "right")
"""Of a robot's wheels."""
WHEEL, CASTER = "wheel", "caster"
"""Default classes of the geoms that touch the floor."""
WALL_HEIGHT = 0.5
# Thin, because a wall segment of the swarm file is a line to the training simulator and to the judge.
WALL_HALF_THICKNESS = 0.005
ARENA_HALF_THICKNESS = 0.05
DENSITY = 250.0
"""Mass of a chassis over its volume [kg/m³]; gives 6 kg at 0.18 m radius, as robots of that size have."""
SERVO_LAG = 0.02
"""Time constant with which the wheels follow their speed command [s]."""
ROTOR_SHARE = 0.5
"""Inertia that the geared motors add, over that of the robot's mass as the wheels feel it.

Also what keeps the explicit servo stable: (1 + share) / share · timestep / lag must stay well below 2. (MuJoCo's
implicit integrators damp the servo after the contact forces are known, and the wheels then slip.)
"""
TORQUE_MARGIN = 2.0
"""Motor torque over what the acceleration limits need."""


class Drive(NamedTuple):
    """Wheels and motors of a robot type, derived from its body and limits."""

    wheel_radius: float
    """[m]"""
    half_track: float
    """from the middle to a wheel [m]"""
    mass: float
    """of the whole robot [kg]"""
    rotor_inertia: float
    """of one motor, at the wheel [kg·m²]"""
    gain: float
    """motor torque for each rad/s of wheel speed error [N·m·s/rad]"""
    torque: float
    """largest motor torque [N·m]"""


def drive_of(robot_type: RobotType) -> Drive:
    """Wheels and motors that carry ``robot_type`` through its acceleration limits."""
    radius, action = robot_type.radius, robot_type.action
    wheel_radius, half_track = 0.3 * radius, 0.75 * radius
    mass = DENSITY * math.pi * radius**2 * robot_type.height
    yaw_inertia = mass * radius**2 / 2
    wheel_inertia = mass * wheel_radius**2 / 2
    force = mass * action.linear_acceleration / 2 + yaw_inertia * action.angular_acceleration / (2 * half_track)
    return Drive(
        wheel_radius=wheel_radius,
        half_track=half_track,
        mass=mass,
        rotor_inertia=ROTOR_SHARE * wheel_inertia,
        gain=(1 + ROTOR_SHARE) * wheel_inertia / SERVO_LAG,
        torque=TORQUE_MARGIN * (1 + ROTOR_SHARE) * force * wheel_radius,
    )


def scan_height(swarm: Swarm) -> float:
    """Height of every robot's scan plane [m]: 0.12, or lower where a chassis would not reach it."""
    return min(0.12, 0.8 * min(swarm.robot_type(robot).height for robot in swarm.robots))


def model_spec(swarm: Swarm) -> mujoco.MjSpec:
    """The MuJoCo model of ``swarm``, not compiled yet.

    Contacts: wheels and casters touch the floor only; chassis, pillars and walls touch each other only, as do geoms
    that are added without a class. The body ``<robot>:body`` has its origin on the floor below the robot's middle, x
    ahead; wheels are the joints ``<robot>:left_wheel`` and ``<robot>:right_wheel``.

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
    """A chassis on two driven wheels and two casters; the body's origin is on the floor below its middle."""
    drive = drive_of(robot_type)
    radius, name, (x, y, yaw) = robot_type.radius, robot.name, robot.pose
    bottom = 0.1 * robot_type.height
    half_height = (robot_type.height - bottom) / 2
    body = spec.worldbody.add_body(name=f"{name}:body", pos=[x, y, 0], euler=[0, 0, yaw])
    body.add_freejoint(name=name)
    body.add_geom(
        name=name,
        type=mujoco.mjtGeom.mjGEOM_CYLINDER,
        size=[radius, half_height, 0],
        pos=[0, 0, bottom + half_height],
        mass=0.86 * drive.mass,
    )
    caster = 0.15 * radius
    for sign in (1, -1):
        body.add_geom(
            spec.find_default(CASTER),
            size=[caster, 0, 0],
            pos=[sign * 0.75 * radius, 0, caster],
            mass=0.02 * drive.mass,
        )
    for side, sign in zip(SIDES, (1, -1), strict=True):
        _add_wheel(spec, body, wheel_name(robot, side), sign, radius, drive)


def wheel_name(robot: Robot, side: str) -> str:
    """Name of a wheel's body and joint; ``side`` is one of ``SIDES``."""
    return f"{robot.name}:{side}_wheel"


def _add_wheel(
    spec: mujoco.MjSpec, robot_body: mujoco.MjsBody, name: str, sign: int, radius: float, drive: Drive
) -> None:
    """A wheel with its motor, left (``sign`` 1) or right (−1) of the middle."""
    wheel = drive.wheel_radius
    body = robot_body.add_body(name=name, pos=[0, sign * drive.half_track, wheel])
    body.add_joint(name=name, axis=[0, 1, 0], armature=drive.rotor_inertia)
    body.add_geom(spec.find_default(WHEEL), size=[wheel, 0.1 * radius, wheel], mass=0.05 * drive.mass)
    motor = spec.add_actuator(target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT, forcerange=[-drive.torque, drive.torque])
    motor.set_to_velocity(drive.gain)
