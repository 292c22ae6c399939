"""Hear a robot's topics for a while, as its policy node would."""

from __future__ import annotations

import itertools
import time
from statistics import median
from typing import Any, NamedTuple

from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data

from kdmarl_core.contract import KdmarlError, Swarm
from kdmarl_core.runtime import Controller
from kdmarl_core.runtime.faults import Cause, Fault
from kdmarl_ros.node.transforms import Transforms
from kdmarl_ros.robot.first_orders import first_orders_of
from kdmarl_ros.robot.inputs import Inputs, required_topics
from kdmarl_ros.robot.latest import ORDERS, arrival_time, stamp_of
from kdmarl_ros.robot.localisation import Localisation, localisation


class Heard(NamedTuple):
    """What came on one topic."""

    messages: int
    """how many"""
    interval: float | None
    """median time from one to the next, None with fewer than two [s]"""
    lag: float | None
    """median of the time from stamp to arrival, None without messages [s]"""
    latest: Any
    """the last message, None without any"""


class Ear:
    """The inputs of one robot's policy, and how often and how late they come.

    Attributes: ``inputs``, as the robot's node has them.
    """

    def __init__(self, node: Node, swarm: Swarm, controller: Controller) -> None:
        """Subscribe.

        Args:
            node: in the robot's namespace.
            swarm: with that robot only.
            controller: of the robot.

        Raises:
            KdmarlError: its pose is to come from tf, and there is none here.
        """
        (robot,) = swarm.robots
        given = swarm.parameters(robot)

        def localise() -> Localisation:
            return localisation(given.pose_source, node, lambda: Transforms(node), given.sensor_timeout)

        self._node = node
        orders = first_orders_of(swarm, robot)
        self.inputs = Inputs(node, controller.terms, controller.sensors, given.sensor_timeout, orders, localise)
        self._arrivals: dict[str, list[float]] = {}
        self._lags: dict[str, list[float]] = {}
        self._latest: dict[str, Any] = {}
        for topic, kind in required_topics(controller.terms, controller.sensors).items():
            if topic not in ORDERS:
                self._listen(topic, kind)

    def _listen(self, topic: str, kind: type) -> None:
        self._arrivals[topic], self._lags[topic] = [], []

        def hear(message: Any) -> None:
            self._arrivals[topic].append(time.monotonic())
            self._lags[topic].append((self._node.get_clock().now().nanoseconds - stamp_of(message)) / 1e9)
            self._latest[topic] = message

        self._node.create_subscription(kind, topic, hear, qos_profile_sensor_data)

    def heard(self) -> dict[str, Heard]:
        """Topic → what came on it."""
        found = {}
        for topic, arrivals in self._arrivals.items():
            gaps = [later - earlier for earlier, later in itertools.pairwise(arrivals)]
            lags = self._lags[topic]
            found[topic] = Heard(
                len(arrivals),
                median(gaps) if gaps else None,
                median(lags) if lags else None,
                self._latest.get(topic),
            )
        return found

    def trouble(self) -> str:
        """Why the robot's node would not drive; empty if it would, or waits for nothing but a goal."""
        clock = self._node.get_clock()
        try:
            self.inputs.readings(clock.now().nanoseconds, arrival_time(clock))
        except Fault as fault:
            return "" if fault.cause is Cause.NO_GOAL else fault.reason
        except KdmarlError as error:
            return str(error)
        return ""
