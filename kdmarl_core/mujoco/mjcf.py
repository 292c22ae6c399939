"""The MuJoCo model of a swarm: arena, pillars, walls and differential-drive robots, as MJCF text."""

from __future__ import annotations

import math
from typing import NamedTuple

from kdmarl_core.contract import KdmarlError, Robot, RobotType, Swarm, World

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


def model_xml(swarm: Swarm) -> str:
    """The MJCF model of ``swarm``.

    Contacts: wheels and casters touch the floor only; chassis, pillars and walls touch each other only.

    Raises:
        KdmarlError: the swarm file has no world.
    """
    if swarm.world is None:
        raise KdmarlError(f"{swarm.path}: has no 'world', so there is nothing to simulate; add one with its size")
    bodies = "".join(_robot(robot, swarm.robot_type(robot)) for robot in swarm.robots)
    motors = "".join(_motors(robot, drive_of(swarm.robot_type(robot))) for robot in swarm.robots)
    return f"""
<mujoco model="kdmarl">
  <compiler angle="radian" autolimits="true"/>
  <option timestep="{TIMESTEP}" integrator="Euler" cone="elliptic" impratio="10"/>
  <default>
    <geom contype="2" conaffinity="2" group="{SEEN_GROUP}" friction="0.3 0 0" condim="3"/>
    <default class="wheel">
      <geom type="ellipsoid" contype="0" conaffinity="1" group="{HIDDEN_GROUP}" friction="1 0 0"/>
    </default>
    <!-- A contact takes the larger friction of its two geoms unless one of them has priority. -->
    <default class="caster">
      <geom type="sphere" contype="0" conaffinity="1" group="{HIDDEN_GROUP}" priority="1" friction="0.005 0 0"/>
    </default>
  </default>
  <worldbody>
    <geom name="{FLOOR}" type="plane" size="0 0 1" contype="1" conaffinity="0" group="{HIDDEN_GROUP}" friction="1 0 0"/>
    {_arena(swarm.world)}
    {bodies}
  </worldbody>
  <actuator>{motors}</actuator>
</mujoco>
"""


def _arena(world: World) -> str:
    half_x, half_y, thick = world.size[0] / 2, world.size[1] / 2, ARENA_HALF_THICKNESS
    sides = [(half_x + thick, 0.0, thick, half_y + 2 * thick), (0.0, half_y + thick, half_x, thick)]
    boxes = [
        _box(f"wall:side_{index}_{sign:+d}", sign * x, sign * y, half_length, half_width, 0.0)
        for index, (x, y, half_length, half_width) in enumerate(sides)
        for sign in (-1, 1)
    ]
    for index, (x1, y1, x2, y2) in enumerate(world.walls):
        half_length = max(math.hypot(x2 - x1, y2 - y1) / 2, WALL_HALF_THICKNESS)
        yaw = math.atan2(y2 - y1, x2 - x1)
        boxes.append(_box(f"wall:{index}", (x1 + x2) / 2, (y1 + y2) / 2, half_length, WALL_HALF_THICKNESS, yaw))
    for index, (x, y, radius) in enumerate(world.discs):
        boxes.append(
            f'<geom name="pillar:{index}" type="cylinder" size="{radius} {WALL_HEIGHT / 2}" '
            f'pos="{x} {y} {WALL_HEIGHT / 2}"/>'
        )
    return "\n    ".join(boxes)


def _box(name: str, x: float, y: float, half_length: float, half_width: float, yaw: float) -> str:
    return (
        f'<geom name="{name}" type="box" size="{half_length} {half_width} {WALL_HEIGHT / 2}" '
        f'pos="{x} {y} {WALL_HEIGHT / 2}" euler="0 0 {yaw}"/>'
    )


def _robot(robot: Robot, robot_type: RobotType) -> str:
    """A chassis on two driven wheels and two casters; the body's origin is on the floor below its middle."""
    drive = drive_of(robot_type)
    radius, name, (x, y, yaw) = robot_type.radius, robot.name, robot.pose
    wheel, caster = drive.wheel_radius, 0.15 * radius
    bottom = 0.1 * robot_type.height
    half_height = (robot_type.height - bottom) / 2
    wheels = "".join(
        f"""
      <body name="{name}:{side}_wheel" pos="0 {sign * drive.half_track} {wheel}">
        <joint name="{name}:{side}_wheel" axis="0 1 0" armature="{drive.rotor_inertia}"/>
        <geom class="wheel" size="{wheel} {0.1 * radius} {wheel}" mass="{0.05 * drive.mass}"/>
      </body>"""
        for side, sign in (("left", 1), ("right", -1))
    )
    casters = "".join(
        f'<geom class="caster" size="{caster}" pos="{sign * 0.75 * radius} 0 {caster}" mass="{0.02 * drive.mass}"/>'
        for sign in (1, -1)
    )
    return f"""
    <body name="{name}:body" pos="{x} {y} 0" euler="0 0 {yaw}">
      <freejoint name="{name}"/>
      <geom name="{name}" type="cylinder" size="{radius} {half_height}" pos="0 0 {bottom + half_height}"
            mass="{0.86 * drive.mass}"/>
      {casters}{wheels}
    </body>"""


def _motors(robot: Robot, drive: Drive) -> str:
    return "".join(
        f'<velocity joint="{robot.name}:{side}_wheel" kv="{drive.gain}" forcerange="{-drive.torque} {drive.torque}"/>'
        for side in ("left", "right")
    )
