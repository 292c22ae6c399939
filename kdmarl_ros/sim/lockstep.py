"""When robots have to command, so that a simulator in lockstep knows for whom it waits."""

from __future__ import annotations

from typing import NamedTuple

from kdmarl_core.contract import KdmarlError, Robot, Swarm
from kdmarl_core.contract.sensors import SensorTerm
from kdmarl_core.contract.sensors.base import MESSAGE_RATE, Sensor
from kdmarl_core.runtime.controller import SENSOR_SOONEST, SENSOR_SPACING
from kdmarl_core.runtime.policy import read_manifest

MESSAGE_PERIOD = round(1e9 / MESSAGE_RATE)
"""From message to message of odometry, and of a sensor without a rate [ns]."""


def message_period(sensor: Sensor) -> int:
    """From message to message [ns]."""
    return round(1e9 / sensor.message_rate)


class Cycles(NamedTuple):
    """A policy node's control cycles."""

    period: int
    """[ns]"""
    sensor: int | None = None
    """from message to message of the sensor that starts them [ns]; None: the clock does"""

    def due(self, heard: int, now: int, tick: int) -> bool:
        """Whether a robot whose last command came at ``heard`` has one to give at ``now``.

        Args:
            heard: [ns].
            now: [ns].
            tick: since the instant before, at which it had none to give [ns].
        """
        if self.sensor is None:
            return now // self.period > heard // self.period
        waited, said = now - heard, now // self.sensor != (now - tick) // self.sensor
        return waited >= SENSOR_SPACING * self.period or (said and waited >= SENSOR_SOONEST * self.period)


def cycles_of(swarm: Swarm, robot: Robot) -> Cycles:
    """Those of a robot's node by its policy file; of one that cannot be read, which its node reports, 0.1 s."""
    try:
        manifest = read_manifest(swarm.policies[robot.type])
    except (KeyError, KdmarlError):
        return Cycles(MESSAGE_PERIOD)
    period = round(manifest.control_period * 1e9)
    if swarm.parameters(robot).trigger != "sensor":
        return Cycles(period)
    used = {term.sensor for term in manifest.observation if isinstance(term, SensorTerm)}
    carried = swarm.robot_type(robot).sensors.carried
    leading = next((sensor for name, sensor in carried.items() if name in used), None)
    return Cycles(period, message_period(leading) if leading else MESSAGE_PERIOD)
