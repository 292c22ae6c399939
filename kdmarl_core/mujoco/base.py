"""What drives the robots of one kinematics in MuJoCo: the base of all such classes, and what they share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from kdmarl_core.contract import Robot, RobotType
from kdmarl_core.contract.solids import body_of

try:
    import mujoco
except ModuleNotFoundError:  # MujocoWorld says so in one sentence
    mujoco = None

SERVO_LAG = 0.02
"""Time constant with which motors follow their speed command [s]."""
FORCE_MARGIN = 2.0
"""Motor force over what the acceleration limits need."""
CASTER = "caster"
"""Default class of the geoms on which a robot slides over the floor."""


class Base(ABC):
    """All robots of one kinematics in one world."""

    @staticmethod
    @abstractmethod
    def add(spec: mujoco.MjSpec, body: mujoco.MjsBody, robot: Robot, robot_type: RobotType) -> None:
        """Build a robot; all but its chassis touches only the floor, and is hidden from lidars.

        Args:
            spec: the whole model.
            body: of the robot, which floats freely; its origin is on the floor below the robot's middle, x ahead.
            robot: whose name all names of new parts begin with, followed by a colon, but for the chassis.
            robot_type: body and limits.
        """

    @abstractmethod
    def __init__(self, model: mujoco.MjModel, robots: Sequence[Robot], types: Sequence[RobotType]) -> None:
        """Find the motors of ``robots``, which :meth:`add` has built."""

    @abstractmethod
    def drive(self, data: mujoco.MjData, speeds: np.ndarray) -> None:
        """Set the motors to ``speeds``, (robots, A) in the order and the units of commands."""


def add_chassis(body: mujoco.MjsBody, robot: Robot, robot_type: RobotType, mass: float) -> float:
    """A cylinder that all others see and touch; returns the height of its middle over the floor [m]."""
    solid = body_of(robot_type)
    half_height = (solid.top - solid.bottom) / 2
    body.add_geom(
        name=robot.name,
        type=mujoco.mjtGeom.mjGEOM_CYLINDER,
        size=[solid.radius, half_height, 0],
        pos=[0, 0, solid.bottom + half_height],
        mass=mass,
    )
    return solid.bottom + half_height


def add_caster(spec: mujoco.MjSpec, body: mujoco.MjsBody, x: float, y: float, radius: float, mass: float) -> None:
    """A ball that slides over the floor, at ``x``, ``y`` from the robot's middle [m]."""
    body.add_geom(spec.find_default(CASTER), size=[radius, 0, 0], pos=[x, y, radius], mass=mass)
