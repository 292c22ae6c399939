"""What simulators with physics build of a swarm file: the arena's boxes and pillars, and robots' bodies.

One source for all of them, so that they simulate the same.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from kdmarl_core.contract.kinematics import DiffDrive
from kdmarl_core.contract.robots import RobotType
from kdmarl_core.contract.swarm import Swarm
from kdmarl_core.contract.worlds import World

TIMESTEP = 0.005
"""Physics step [s]."""
WALL_HEIGHT = 0.5
# Thin, because a wall segment of the swarm file is a line to the training simulator and to the judge.
WALL_HALF_THICKNESS = 0.005
ARENA_HALF_THICKNESS = 0.05

DENSITY = 250.0
"""Mass of a robot over its volume [kg/m³]; gives 6 kg at 0.18 m radius, as robots of that size have."""


class Box(NamedTuple):
    """A piece of wall that stands on the floor, ``WALL_HEIGHT`` high [m, rad]."""

    name: str
    x: float
    y: float
    half_length: float
    half_width: float
    yaw: float = 0.0


def boxes(world: World) -> list[Box]:
    """The arena's sides, then its inner walls."""
    half_x, half_y, thick = world.size[0] / 2, world.size[1] / 2, ARENA_HALF_THICKNESS
    sides = [(half_x + thick, 0.0, thick, half_y + 2 * thick), (0.0, half_y + thick, half_x, thick)]
    found = [
        Box(f"side_{index}_{sign:+d}", sign * x, sign * y, half_length, half_width)
        for index, (x, y, half_length, half_width) in enumerate(sides)
        for sign in (-1, 1)
    ]
    for index, (x1, y1, x2, y2) in enumerate(world.walls):
        half_length = max(math.hypot(x2 - x1, y2 - y1) / 2, WALL_HALF_THICKNESS)
        yaw = math.atan2(y2 - y1, x2 - x1)
        found.append(Box(str(index), (x1 + x2) / 2, (y1 + y2) / 2, half_length, WALL_HALF_THICKNESS, yaw))
    return found


def scan_height(swarm: Swarm) -> float:
    """Height of every robot's scan plane [m]: 0.12, or lower where a chassis would not reach it."""
    return min(0.12, 0.8 * min(swarm.robot_type(robot).height for robot in swarm.robots))


class Body(NamedTuple):
    """A robot's chassis, a cylinder, and the balls and wheels that it stands on."""

    radius: float
    """of the chassis [m]"""
    bottom: float
    """of the chassis over the floor [m]"""
    top: float
    """[m]"""
    mass: float
    """of the whole robot [kg]"""
    caster: float
    """radius of each ball [m]"""
    casters: list[tuple[float, float]]
    """x, y of the balls from the middle [m]: two before and behind a differential drive, else three around, which stand
    firmly: on four, the body rocks"""
    wheel: float
    """radius of each wheel of a differential drive [m]"""
    half_track: float
    """from the middle to each wheel [m]"""


CASTER_SHARE, WHEEL_SHARE = 0.02, 0.05
"""Of the robot's mass, in each ball and in each wheel."""


def body_of(robot_type: RobotType) -> Body:
    """The body of a robot type."""
    radius, height = robot_type.radius, robot_type.height
    reach = 0.75 * radius
    turns = [(corner + 0.5) * math.tau / 3 for corner in range(3)]
    on_wheels = isinstance(robot_type.action, DiffDrive)
    return Body(
        radius=radius,
        bottom=0.1 * height,
        top=height,
        mass=DENSITY * math.pi * radius**2 * height,
        caster=0.15 * radius,
        casters=[(reach, 0.0), (-reach, 0.0)]
        if on_wheels
        else [(reach * math.cos(turn), reach * math.sin(turn)) for turn in turns],
        wheel=0.3 * radius,
        half_track=0.75 * radius,
    )
