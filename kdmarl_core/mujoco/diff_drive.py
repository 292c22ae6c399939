"""A differential drive in MuJoCo: two driven wheels and two casters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import numpy as np

from kdmarl_core.contract import DiffDrive, Robot, RobotType
from kdmarl_core.contract.solids import CASTER_SHARE, WHEEL_SHARE, body_of
from kdmarl_core.mujoco.base import FORCE_MARGIN, SERVO_LAG, Base, add_caster, add_chassis

try:
    import mujoco
except ModuleNotFoundError:  # MujocoWorld says so in one sentence
    mujoco = None

SIDES = ("left", "right")
"""Of a robot's wheels."""
WHEEL = "wheel"
"""Default class of their geoms."""
ROTOR_SHARE = 0.5
"""Inertia that the geared motors add, over that of the robot's mass as the wheels feel it.

Also what keeps the explicit servo stable: (1 + share) / share · timestep / lag must stay well below 2. (MuJoCo's
implicit integrators damp the servo after the contact forces are known, and the wheels then slip.)
"""


class Wheels(NamedTuple):
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


def wheels_of(robot_type: RobotType) -> Wheels:
    """Wheels and motors that carry ``robot_type`` through its acceleration limits."""
    radius, action = robot_type.radius, cast(DiffDrive, robot_type.action)
    body = body_of(robot_type)
    wheel_radius, half_track, mass = body.wheel, body.half_track, body.mass
    yaw_inertia = mass * radius**2 / 2
    wheel_inertia = mass * wheel_radius**2 / 2
    force = mass * action.linear_acceleration / 2 + yaw_inertia * action.angular_acceleration / (2 * half_track)
    return Wheels(
        wheel_radius=wheel_radius,
        half_track=half_track,
        mass=mass,
        rotor_inertia=ROTOR_SHARE * wheel_inertia,
        gain=(1 + ROTOR_SHARE) * wheel_inertia / SERVO_LAG,
        torque=FORCE_MARGIN * (1 + ROTOR_SHARE) * force * wheel_radius,
    )


class DiffDriveBase(Base):
    """Wheels are the joints ``<robot>:left_wheel`` and ``<robot>:right_wheel``."""

    @staticmethod
    def add(spec: mujoco.MjSpec, body: mujoco.MjsBody, robot: Robot, robot_type: RobotType) -> None:
        """A chassis on two driven wheels and two casters."""
        wheels, solid = wheels_of(robot_type), body_of(robot_type)
        add_chassis(body, robot, robot_type, (1 - 2 * CASTER_SHARE - 2 * WHEEL_SHARE) * wheels.mass)
        for x, y in solid.casters:
            add_caster(spec, body, x, y, solid.caster, CASTER_SHARE * wheels.mass)
        for side, sign in zip(SIDES, (1, -1), strict=True):
            _add_wheel(spec, body, wheel_name(robot, side), sign, solid.radius, wheels)

    def __init__(self, model: mujoco.MjModel, robots: Sequence[Robot], types: Sequence[RobotType]) -> None:
        wheels = [wheels_of(robot_type) for robot_type in types]
        self._wheel_radius = np.array([each.wheel_radius for each in wheels])
        self._half_track = np.array([each.half_track for each in wheels])
        self._motors = np.array([[_motor(model, wheel_name(robot, side)) for side in SIDES] for robot in robots])

    def drive(self, data: mujoco.MjData, speeds: np.ndarray) -> None:
        """Turn the wheels."""
        linear, angular = speeds[:, 0], speeds[:, 1]
        data.ctrl[self._motors[:, 0]] = (linear - angular * self._half_track) / self._wheel_radius
        data.ctrl[self._motors[:, 1]] = (linear + angular * self._half_track) / self._wheel_radius


def wheel_name(robot: Robot, side: str) -> str:
    """Name of a wheel's body and joint; ``side`` is one of ``SIDES``."""
    return f"{robot.name}:{side}_wheel"


def _add_wheel(
    spec: mujoco.MjSpec, robot_body: mujoco.MjsBody, name: str, sign: int, radius: float, wheels: Wheels
) -> None:
    """A wheel with its motor, left (``sign`` 1) or right (−1) of the middle."""
    wheel = wheels.wheel_radius
    body = robot_body.add_body(name=name, pos=[0, sign * wheels.half_track, wheel])
    body.add_joint(name=name, axis=[0, 1, 0], armature=wheels.rotor_inertia)
    body.add_geom(spec.find_default(WHEEL), size=[wheel, 0.1 * radius, wheel], mass=WHEEL_SHARE * wheels.mass)
    motor = spec.add_actuator(
        target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT, forcerange=[-wheels.torque, wheels.torque]
    )
    motor.set_to_velocity(wheels.gain)


def _motor(model: mujoco.MjModel, wheel: str) -> int:
    """Number of a wheel's motor: an edit may have added others."""
    turns = model.actuator_trntype == mujoco.mjtTrn.mjTRN_JOINT
    return int(np.flatnonzero(turns & (model.actuator_trnid[:, 0] == model.joint(wheel).id))[0])
