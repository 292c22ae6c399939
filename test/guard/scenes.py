"""Scenes that Hypothesis draws for the scan guard."""

import copy

import numpy as np
from hypothesis import strategies as st
from msgspec.structs import replace

from guard.closed_loop import PERIOD
from kdmarl_core.contract import Readings, load_robot_types
from kdmarl_core.contract.sensors.base import Mounting
from kdmarl_core.runtime import SafetyFilter
from kdmarl_core.runtime.scan_before import Taken
from kdmarl_core.runtime.scan_guard import ScanGuard
from support import ROBOT_TYPES

TYPES = load_robot_types(ROBOT_TYPES)
NAMES = ["scout", "carrier", "mini", "omni"]


def _mounted(name, sensor, **values):
    robot = TYPES[name]
    sensors = replace(robot.sensors, **{sensor: replace(getattr(robot.sensors, sensor), **values)})
    return replace(robot, sensors=sensors)


TYPES |= {
    "scout, lidar behind": _mounted(
        "scout", "lidar", beams=180, mounting=Mounting(x=-0.08, y=0.03, yaw=2.0), hidden=[(1.0, 1.03)]
    ),
    "omni, lidar upside down": _mounted("omni", "lidar", mounting=Mounting(x=0.12, yaw=-1.57, upside_down=True)),
    "mini, sensors on its rim": _mounted("mini", "range_sensors", circle=0.1, mounting=Mounting(x=0.01)),
}
MOUNTED = [name for name in TYPES if "," in name]


def _cornered(name):
    """With a lidar at two opposite corners, each of which sees three quarters of a turn."""
    robot, lidar = TYPES[name], TYPES[name].sensors.lidar
    there = robot.radius * 0.6
    front, rear = (
        replace(lidar, beams=270, fov=1.5 * np.pi, mounting=Mounting(x=side * there, y=side * there, yaw=yaw))
        for side, yaw in ((1, np.pi / 4), (-1, -3 * np.pi / 4))
    )
    return replace(robot, sensors=replace(robot.sensors, lidar=front, more_lidars={"rear": rear}))


CORNERED = {f"{name}, lidars at two corners": _cornered(name) for name in ("carrier", "omni")}
TYPES |= CORNERED


def ahead(name, speed, turn=0.0):
    """A command straight ahead, for each kinematics."""
    return np.array([speed, *[0.0] * (TYPES[name].action.size - 2), turn], np.float32)


def motion(command):
    """How fast it moves over ground."""
    return float(np.hypot.reduce(command[:-1]))


@st.composite
def scenes(draw):
    """A robot that has driven for a while, and what it sees now: readings, the last command, the next."""
    robot = TYPES[draw(st.sampled_from(NAMES + MOUNTED))]
    speeds = st.tuples(*(st.floats(low, high) for low, high in robot.action.limits))
    guard = ScanGuard(robot.action, robot, PERIOD, draw(st.sampled_from([1.0, 1.4])))
    gate = SafetyFilter(robot.action, PERIOD)
    last = gate.last
    for time in range(draw(st.integers(0, 8))):
        last = gate(np.array(draw(speeds), np.float32))
        guard._driven.go_on(time * PERIOD, last, PERIOD)
        guard._driven.give(last)
    command = gate(np.array(draw(speeds), np.float32))
    lidar, ring = robot.sensors.lidar, robot.sensors.range_sensors
    count = lidar.beams if lidar else len(ring.bearings)
    ranges = np.full(count, np.inf)
    for _ in range(draw(st.integers(1, 4))):
        first = draw(st.integers(0, count - 1))
        ranges[first : first + draw(st.integers(1, count))] = draw(st.floats(0.001, 2.0) | st.just(np.inf))
    youngest = draw(st.floats(0.0, 0.3))
    return guard, last, command, ranges, (youngest, youngest + draw(st.floats(0.0, 0.4)))


def allowed(guard, last, command, ranges, age, before=None):
    """The command that a copy of the guard gives, which has seen the ranges ``before`` and then ``ranges``."""
    guard = copy.deepcopy(guard)
    if before is not None:
        now = guard._driven.now
        guard._scan_before["lidar"](Taken(scan_of(guard, before), now - age[1] - PERIOD, now - age[0] - PERIOD))
    lidar = "lidar" in guard._sensors
    scan = scan_of(guard, ranges) if lidar else None
    return guard(
        Readings(scan=scan, ranges=None if lidar else ranges, ages={"lidar" if lidar else "range_sensors": age}),
        last,
        command,
    )


def scan_of(guard, ranges):
    """As the guard's lidar gives it."""
    lidar = guard._sensors["lidar"]
    return lidar.from_rays(lidar.fans[0].angles)(ranges)
