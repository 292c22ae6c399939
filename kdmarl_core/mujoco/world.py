"""A swarm in MuJoCo: drives that follow commands, sensors that see walls, pillars and other robots."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from kdmarl_core.contract import KdmarlError, Robot, RobotType, Swarm
from kdmarl_core.contract.sensors import Sensor
from kdmarl_core.contract.solids import TIMESTEP, scan_height
from kdmarl_core.mujoco.base import Base
from kdmarl_core.mujoco.model import BASES, FLOOR, SEEN_GROUP, model_spec

try:
    import mujoco
except ModuleNotFoundError:  # MujocoWorld says so in one sentence
    mujoco = None

COMMAND_TIMEOUT = 0.5
"""Age at which a drive forgets its command and stops, as real bases do [s]."""


class Odometry(NamedTuple):
    """True motion of a robot: pose in the swarm's frame, velocity in its own frame (REP-103)."""

    x: float
    """[m]"""
    y: float
    """[m]"""
    yaw: float
    """[rad]"""
    forward: float
    """[m/s]"""
    lateral: float
    """to the left [m/s]"""
    yaw_rate: float
    """[rad/s]"""


class _Rays:
    """One sensor's rays, buffers kept from call to call."""

    def __init__(self, sensor: Sensor) -> None:
        self.sensor, self.angles, self.origins = sensor, sensor.rays, sensor.origins
        self.vectors = np.zeros((self.angles.size, 3))
        self.distance = np.zeros(self.angles.size)
        self.hit = np.zeros(self.angles.size, np.int32)


class MujocoWorld:
    """A swarm's robots and arena under MuJoCo physics.

    The same swarm, seed and calls give the same bytes on one machine. Robots are addressed by name.
    """

    def __init__(self, swarm: Swarm, seed: int = 0, edit: Callable[[mujoco.MjSpec], object] | None = None) -> None:
        """Build the world of ``swarm``.

        Args:
            swarm: robots, arena and obstacles.
            seed: of the sensor noise.
            edit: adds to the model before it is compiled, such as bodies, cameras or MuJoCo's own sensors, which are
                then in :attr:`model` and :attr:`data`. :func:`~kdmarl_core.mujoco.model.model_spec` says what is there.
                Lidars see geoms of ``SEEN_GROUP``, the default, and :meth:`contacts` tells those by their names.

        Raises:
            KdmarlError: the swarm has no world, MuJoCo cannot build it, or there is no MuJoCo.
        """
        if mujoco is None:
            raise KdmarlError("MuJoCo is not installed; pip install 'kdmarl_ros[sim]'")
        self.robots: list[Robot] = list(swarm.robots)
        self._types: list[RobotType] = [swarm.robot_type(robot) for robot in swarm.robots]
        self._index = {robot.name: index for index, robot in enumerate(self.robots)}
        self._seed = seed
        self._height = scan_height(swarm)
        spec = model_spec(swarm)
        if edit:
            edit(spec)
        try:
            self._model = spec.compile()
        except ValueError as error:
            raise KdmarlError(f"{swarm.path}: MuJoCo cannot build this world ({error}); check its sizes") from None
        self._data = mujoco.MjData(self._model)
        self._steps = 0
        self._bodies = [self._model.body(f"{robot.name}:body").id for robot in self.robots]
        joints = [self._model.joint(robot.name) for robot in self.robots]
        self._pose_start = [int(joint.qposadr[0]) for joint in joints]
        self._velocity_start = [int(joint.dofadr[0]) for joint in joints]
        self._seen_groups = np.zeros(6, np.uint8)
        self._seen_groups[SEEN_GROUP] = 1
        self._rays = [
            {name: _Rays(sensor) for name, sensor in robot_type.sensors.carried.items()} for robot_type in self._types
        ]
        self._set_up_drives()
        self.reset()

    def _set_up_drives(self) -> None:
        actions = [robot_type.action for robot_type in self._types]
        count, values = len(self.robots), max(action.size for action in actions)
        self._commanded, self._ramped, self._largest_change = (np.zeros((count, values)) for _ in range(3))
        """(robots, A) in the order and the units of each robot's commands, with zeros after the last value"""
        self._limits = [(action.low, action.high) for action in actions]
        for index, action in enumerate(actions):
            self._largest_change[index, : action.size] = np.asarray(action.acceleration, float) * TIMESTEP
        self._command_step = np.zeros(count, int)
        self._timeout_steps = round(COMMAND_TIMEOUT / TIMESTEP)
        self._bases: list[tuple[np.ndarray, int, Base]] = []
        """the robots of each kinematics, the number of values in their commands, and what drives them"""
        for kinematics, base in BASES.items():
            which = [index for index, action in enumerate(actions) if type(action) is kinematics]
            if which:
                robots, types = [self.robots[index] for index in which], [self._types[index] for index in which]
                self._bases.append((np.array(which), actions[which[0]].size, base(self._model, robots, types)))

    @property
    def model(self) -> mujoco.MjModel:
        """MuJoCo's compiled model."""
        return self._model

    @property
    def data(self) -> mujoco.MjData:
        """MuJoCo's state of it."""
        return self._data

    @property
    def time_ns(self) -> int:
        """Simulated time since construction [ns]; goes on over :meth:`reset`."""
        return self._steps * round(TIMESTEP * 1e9)

    def reset(self) -> None:
        """Put every robot back at its start, at rest and without a command, and start the noise anew."""
        mujoco.mj_resetData(self._model, self._data)
        mujoco.mj_forward(self._model, self._data)
        self._commanded[:] = 0
        self._ramped[:] = 0
        self._noise = [
            np.random.default_rng(child) for child in np.random.SeedSequence(self._seed).spawn(len(self.robots))
        ]

    def command(self, name: str, *command: float) -> None:
        """Ask robot ``name`` for the values of a ``command``, such as forward speed [m/s] and yaw rate [rad/s].

        They must be finite, and are clipped to its limits.
        """
        index = self._index[name]
        low, high = self._limits[index]
        self._commanded[index, : low.size] = np.clip(command, low, high)
        self._command_step[index] = self._steps

    def step(self, duration: float) -> None:
        """Advance by ``duration`` [s], rounded to whole physics steps."""
        for _ in range(round(duration / TIMESTEP)):
            self._drive()
            mujoco.mj_step(self._model, self._data)
            self._steps += 1
        # mj_step ends with moved joints but the poses of its start; sensors want the new ones.
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_comPos(self._model, self._data)

    def _drive(self) -> None:
        """Ramp every base towards its command within its acceleration limits and set its motors."""
        self._commanded[self._steps - self._command_step >= self._timeout_steps] = 0
        change = np.clip(self._commanded - self._ramped, -self._largest_change, self._largest_change)
        self._ramped += change
        for which, values, base in self._bases:
            base.drive(self._data, self._ramped[which, :values])

    def odometry(self, name: str) -> Odometry:
        """True pose and velocity of robot ``name``."""
        index = self._index[name]
        start, rates = self._pose_start[index], self._velocity_start[index]
        x, y, _, qw, qx, qy, qz = self._data.qpos[start : start + 7].tolist()
        velocity_x, velocity_y, _, _, _, yaw_rate = self._data.qvel[rates : rates + 6].tolist()
        yaw = float(np.arctan2(2 * (qw * qz + qx * qy), 1 - 2 * (qy * qy + qz * qz)))
        cos, sin = float(np.cos(yaw)), float(np.sin(yaw))
        return Odometry(x, y, yaw, cos * velocity_x + sin * velocity_y, cos * velocity_y - sin * velocity_x, yaw_rate)

    def neighbors(self, name: str) -> list[tuple[float, float, float]]:
        """True x, y [m] and yaw [rad] of every other robot in the frame of robot ``name``."""
        own = self.odometry(name)
        cos, sin = math.cos(own.yaw), math.sin(own.yaw)
        others = [self.odometry(robot.name) for robot in self.robots if robot.name != name]
        offsets = [(other.x - own.x, other.y - own.y, other.yaw - own.yaw) for other in others]
        return [(cos * dx + sin * dy, cos * dy - sin * dx, yaw) for dx, dy, yaw in offsets]

    def scan(self, name: str) -> np.ndarray | None:
        """Lidar scan of robot ``name``, (beams,) float32 [m], as REP-117; None without a lidar."""
        return self.sense(name, "lidar")

    def ranges(self, name: str) -> np.ndarray | None:
        """Range sensors of robot ``name``, (sensors,) float32 [m], as REP-117; None without such."""
        return self.sense(name, "range_sensors")

    def sense(self, name: str, sensor: str) -> np.ndarray | None:
        """What a sensor of robot ``name`` says, (values,) float32 [m], as REP-117; None without such a sensor."""
        index = self._index[name]
        rays = self._rays[index].get(sensor)
        return None if rays is None else rays.sensor.measure(self._cast(index, rays), self._noise[index])

    def contacts(self) -> list[tuple[str, str]]:
        """Pairs that press on each other now, sorted: a robot, and a robot or a part of the arena.

        Parts of the arena are ``wall:…`` and ``pillar:…``. Collisions are counted from gaps instead: see
        ``kdmarl_core.judge.definitions``.
        """
        touching = set()
        for geoms in self._data.contact.geom:
            names = [self._model.geom(geom).name for geom in geoms]
            # Nameless are wheels and casters, which touch nothing but the floor.
            if FLOOR not in names:
                touching.add(tuple(sorted(names, key=lambda name: (name not in self._index, name))))
        return sorted(touching)

    def _cast(self, index: int, rays: _Rays) -> np.ndarray:
        """Distance along each ray of robot ``index`` to the first thing seen, inf for none [m]."""
        x, y, yaw, *_ = self.odometry(self.robots[index].name)
        cos, sin = math.cos(yaw), math.sin(yaw)
        np.cos(rays.angles + yaw, out=rays.vectors[:, 0])
        np.sin(rays.angles + yaw, out=rays.vectors[:, 1])
        together = rays.angles.size // len(rays.origins)
        for part, (ahead, left) in enumerate(rays.origins.tolist()):
            chosen = slice(part * together, (part + 1) * together)
            mujoco.mj_multiRay(
                self._model,
                self._data,
                np.array([x + cos * ahead - sin * left, y + sin * ahead + cos * left, self._height]),
                rays.vectors[chosen].ravel(),
                self._seen_groups,
                True,
                self._bodies[index],
                rays.hit[chosen],
                rays.distance[chosen],
                None,
                together,
                rays.sensor.range,
            )
        return np.where(rays.hit < 0, np.inf, rays.distance)
