"""A holonomic base in MuJoCo: a body that slides on balls, moved by two forces and a torque."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kdmarl_core.contract import Robot, RobotType
from kdmarl_core.contract.solids import CASTER_SHARE, body_of
from kdmarl_core.mujoco.base import FORCE_MARGIN, SERVO_LAG, Base, add_caster, add_chassis

try:
    import mujoco
except ModuleNotFoundError:  # MujocoWorld says so in one sentence
    mujoco = None

MOTORS = ("forward", "left", "turn")
"""In the order of commands."""
GEARS = ([1, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0], [0, 0, 0, 0, 0, 1])
"""Of each motor, in the robot's frame: force along x, y, z, torque about them."""


class HolonomicBase(Base):
    """Motors are ``<robot>:forward``, ``<robot>:left`` and ``<robot>:turn``, and act on the site ``<robot>:drive``.

    They stand for wheels of any kind: only the limits and the strength of the push matter to other robots.
    """

    @staticmethod
    def add(spec: mujoco.MjSpec, body: mujoco.MjsBody, robot: Robot, robot_type: RobotType) -> None:
        """A chassis on three casters."""
        solid = body_of(robot_type)
        mass, radius = solid.mass, solid.radius
        height = add_chassis(body, robot, robot_type, (1 - CASTER_SHARE * len(solid.casters)) * mass)
        for x, y in solid.casters:
            add_caster(spec, body, x, y, solid.caster, CASTER_SHARE * mass)
        # Where the mass is, so that pushing does not tilt the robot.
        site = body.add_site(name=f"{robot.name}:drive", pos=[0, 0, height])
        inertia = (mass, mass, mass * radius**2 / 2)
        for name, gear, moved, acceleration in zip(MOTORS, GEARS, inertia, robot_type.action.acceleration, strict=True):
            most = FORCE_MARGIN * moved * float(acceleration)
            motor = spec.add_actuator(
                name=f"{robot.name}:{name}",
                target=site.name,
                trntype=mujoco.mjtTrn.mjTRN_SITE,
                gear=gear,
                forcerange=[-most, most],
            )
            motor.set_to_velocity(moved / SERVO_LAG)

    def __init__(self, model: mujoco.MjModel, robots: Sequence[Robot], types: Sequence[RobotType]) -> None:
        self._motors = np.array([[model.actuator(f"{robot.name}:{name}").id for name in MOTORS] for robot in robots])

    def drive(self, data: mujoco.MjData, speeds: np.ndarray) -> None:
        """Set the motors to the speeds, which servos turn into forces."""
        data.ctrl[self._motors] = speeds
