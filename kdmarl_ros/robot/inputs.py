"""Subscriptions of a robot: keep the latest of each topic, hand them out only if they can be trusted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseArray, PoseStamped
from nav_msgs.msg import Odometry
from rclpy.node import Node

from kdmarl_core.contract import KdmarlError, Readings, Swarm, Term, load_robot_types
from kdmarl_core.contract.planar import Planar
from kdmarl_core.contract.readings import NO_MORE, OWN_FIELD
from kdmarl_core.contract.sensors import Sensors, SensorTerm, kind_of
from kdmarl_core.contract.team_terms import Neighbors, Targets
from kdmarl_core.contract.terms import Goal, Velocity
from kdmarl_core.errors import did_you_mean
from kdmarl_core.runtime.faults import Cause, Fault
from kdmarl_ros.node.qos import Endpoint
from kdmarl_ros.robot.latest import ORDERS, Latest
from kdmarl_ros.robot.localisation import ByOdometry, ByPose, ByTransforms, Localisation
from kdmarl_ros.robot.messages import to_goal, to_motion, to_neighbors, to_targets
from kdmarl_ros.sensors import SENSOR_TOPICS, SensorTopics, topics_of
from kdmarl_ros.swarm.plan import TF

TOPICS = (
    "odom",
    "pose",
    "neighbors",
    *ORDERS,
    *(topic for sensor in SENSOR_TOPICS.values() for topic in sensor.topics),
)
"""All that any policy may need of robots with one sensor of each kind."""


def topics_with(sensors: Sensors) -> tuple[str, ...]:
    """All that any policy may need of a robot with ``sensors``."""
    own = (topic for name in sensors.carried for topic in topics_of(name))
    return tuple(dict.fromkeys((*TOPICS, *own)))


def known_topics(robot_types: str, robot_type: str) -> tuple[str, ...]:
    """The same for a type in a file of robot types; of a robot with one sensor of each kind if that cannot be read."""
    try:
        return topics_with(load_robot_types(robot_types)[robot_type].sensors)
    except (KdmarlError, KeyError):  # configuring the node tells
        return TOPICS


def check_remappings(swarm: Swarm) -> None:
    """See that all topics that a swarm file gives other names are a policy node's.

    Raises:
        KdmarlError: one is not.
    """
    by_tf = any(swarm.parameters(robot).pose_source == "tf" for robot in swarm.robots)  # others ignore it
    for robot, topic in swarm.remapped:
        known = (*topics_with(swarm.robot_type(robot).sensors), "cmd_vel", *(TF if by_tf else ()))
        if topic in TF and not by_tf:
            raise KdmarlError(
                f"{swarm.path}: robot '{robot.name}': remappings: {topic} is heard with pose_source 'tf' only; set "
                "that, or remove it"
            )
        if topic not in known:
            names = ", ".join(name for name in known if not name.startswith("range_"))
            raise KdmarlError(
                f"{swarm.path}: robot '{robot.name}': remappings: a policy node has no topic '{topic}'; "
                f"{did_you_mean(topic, known)} (it has {names}, range_0 and so on)"
            )


def required_topics(terms: list[Term], sensors: Sensors) -> dict[str, type]:
    """Topics, relative to a robot's namespace, that terms need of its ``sensors`` and others: name → message type.

    The terms are those of a :class:`~kdmarl_core.runtime.Controller`, which takes none that no topic can give.
    """
    topics: dict[str, type] = {}
    for term in terms:
        match term:
            case SensorTerm():
                sensor = SENSOR_TOPICS[term.sensor]
                for name in sensors.of_kind(term.sensor):
                    topics |= dict.fromkeys(topics_of(name, sensor.needed(term)), sensor.kind)
            case Goal():
                topics |= {"odom": Odometry, "goal_pose": PoseStamped}
            case Targets():
                topics |= {"odom": Odometry, "targets": PoseArray}
                if term.others:
                    topics["neighbors"] = PoseArray
            case Velocity():
                topics["odom"] = Odometry
            case Neighbors():
                topics |= {"odom": Odometry, "neighbors": PoseArray}  # odom names the frame that they are in
    return topics


class Inputs:
    """All that one robot's policy observes."""

    def __init__(
        self,
        node: Node,
        terms: list[Term],
        sensors: Sensors,
        timeout: float,
        first_orders: dict[str, Any],
        localise: Callable[[], Localisation] = ByOdometry,
    ) -> None:
        """Subscribe to what ``terms`` need, no more.

        Args:
            node: the robot's node, in its namespace.
            terms: of the policy.
            sensors: of the robot.
            timeout: age at which a sensor's message is refused [s].
            first_orders: topic of ``ORDERS`` → first message, in the frame of the odometry if it names none; without
                one the robot waits for that topic.
            localise: makes what says where the robot is, for policies that go somewhere.

        Raises:
            KdmarlError: a QoS override does not fit.
        """
        self.sensors = sensors
        self.timeout = timeout
        self._timeout_ns = round(timeout * 1e9)
        self._first_orders = first_orders
        types = required_topics(terms, sensors)
        self.topics = frozenset(types)
        self._latest: dict[str, Latest] = {}
        self._localisation: Localisation = ByOdometry()
        try:
            for topic, type_ in types.items():
                self._latest[topic] = Latest(node, topic, type_)
            if types.keys() & ORDERS.keys():
                self._localisation = localise()
        except KdmarlError:
            self.destroy()
            raise
        if isinstance(self._localisation, ByPose):
            self._latest["odom"].on_message = self._localisation.remember
        self._sensors = [latest for topic, latest in self._latest.items() if topic not in ORDERS]
        self.serve(terms)

    def serve(self, terms: list[Term]) -> None:
        """Give what ``terms`` need from now on, which are of the same topics."""
        self._sideways = any(isinstance(term, Velocity) and term.lateral for term in terms)
        seeing = _seeing(terms, self._latest, self.sensors)
        self._scan, self._ranges = (seeing.get(name) for name in OWN_FIELD)
        self._more = {name: sensor for name, sensor in seeing.items() if name not in OWN_FIELD}
        guarding = {term.sensor for term in terms if isinstance(term, SensorTerm) and term.guards}
        self._guarding = {name: sensor for name, sensor in seeing.items() if kind_of(name) in guarding}

    @property
    def endpoints(self) -> list[Endpoint]:
        """The subscriptions' quality of service."""
        return [latest.endpoint for latest in self._latest.values()]

    @property
    def leading(self) -> str:
        """Topic whose messages may start control cycles: of a sensor that shows the surroundings, or odom."""
        first = [sensor.topics[0] for sensor in SENSOR_TOPICS.values()]
        return next(topic for topic in (*first, "neighbors", "odom") if topic in self.topics)

    def listen(self, on_news: Callable[[int], None]) -> None:
        """After each message of the ``leading`` topic call ``on_news`` with its stamp [ns]."""
        self._latest[self.leading].on_news = on_news

    def rates(self, usual: float) -> dict[str, float]:
        """Topic → how often its messages came in training [Hz], ``usual`` where the robot type says nothing."""
        return {seeing.names[0]: seeing.sensor.rate or usual for seeing in self._guarding.values()}

    def intervals(self) -> dict[str, float]:
        """Topic → from message to message of late [s], of those that :meth:`rates` names."""
        latest = {seeing.names[0]: seeing.heard[0].usual_interval for seeing in self._guarding.values()}
        return {topic: interval for topic, interval in latest.items() if interval is not None}

    def take(self, topic: str, message: Any) -> None:
        """Take a message as if it had come on ``topic``; nothing, if that is none of the topics."""
        if topic in self._latest:
            self._latest[topic].receive(message)
        elif topic == "pose" and isinstance(self._localisation, ByPose):
            self._localisation.hear(message)

    def destroy(self) -> None:
        """End the subscriptions."""
        for latest in self._latest.values():
            latest.destroy()
        self._localisation.destroy()

    @property
    def orders(self) -> dict[str, Any]:
        """Topic of ``ORDERS`` → what was received on it last."""
        latest = {topic: self._latest[topic].message for topic in ORDERS.keys() & self.topics}
        return {topic: message for topic, message in latest.items() if message is not None}

    def keep_orders(self, orders: dict[str, Any]) -> None:
        """Take ``orders`` for received, on the topics that are needed."""
        for topic in orders.keys() & self.topics:
            self._latest[topic].message = orders[topic]

    def clear(self) -> None:
        """Forget what the sensors said; goals and targets stand."""
        for latest in self._sensors:
            latest.clear()

    def check(self, now: int, arrival_now: int) -> None:
        """See that every sensor's message is there and fresh.

        Args:
            now: ROS time [ns].
            arrival_now: :func:`arrival_time` [ns].

        Raises:
            Fault: the first that is not.
        """
        for latest in self._sensors:
            latest.require_fresh(now, arrival_now, self._timeout_ns)

    def readings(self, now: int, arrival_now: int) -> Readings:
        """The current readings; arguments as for :meth:`check`.

        Raises:
            Fault: an input is missing, stale, from the future or malformed, or nobody has said where to go.
        """
        self.check(now, arrival_now)
        goal = targets = velocity = base_frame = None
        if "odom" in self._latest:
            odometry = self._latest["odom"].message
            motion = to_motion(odometry, self._sideways)
            velocity = np.array([motion.speed, motion.left, motion.yaw_rate], np.float32)
            base_frame = odometry.child_frame_id
            self._check_mountings(base_frame)
            if "goal_pose" in self._latest:
                goal = to_goal(*self._ordered("goal_pose", odometry, now))
            if "targets" in self._latest:
                targets = to_targets(*self._ordered("targets", odometry, now))
        return Readings(
            scan=self._scan.read() if self._scan else None,
            ranges=self._ranges.read() if self._ranges else None,
            goal=goal,
            velocity=velocity,
            neighbors=to_neighbors(self._latest["neighbors"].message, base_frame)
            if "neighbors" in self._latest
            else None,
            targets=targets,
            ages=self._ages(now, arrival_now),
            time=arrival_now / 1e9,
            more={name: sensor.read() for name, sensor in self._more.items()} if self._more else NO_MORE,
        )

    def _check_mountings(self, base: str) -> None:
        """See that tf, where it is used, has the sensors where the robot type has them."""
        if isinstance(self._localisation, ByTransforms):
            for seeing in self._guarding.values():
                for topic, heard, mounting in zip(seeing.names, seeing.heard, seeing.mountings, strict=True):
                    self._localisation.check_mounting(topic, base, heard.message.header.frame_id, mounting)

    def _ages(self, now: int, arrival_now: int) -> dict[str, tuple[float, float]]:
        """Of what the scan guard sees by: no less and no more than [s]."""
        found = {}
        for name, sensor in self._guarding.items():
            ages = sensor.ages(now, arrival_now, self.timeout)
            found[name] = min(age[0] for age in ages), max(age[1] for age in ages)
        return found

    def _ordered(self, topic: str, odometry: Odometry, now: int) -> tuple[Any, Planar]:
        """What was received last on ``topic``, and where the robot is in its frame."""
        order = self._order(topic, odometry)
        return order, self._localisation(topic, order.header.frame_id, odometry, now)

    def _order(self, topic: str, odometry: Odometry) -> Any:
        """What was received last on ``topic``, else the first message."""
        latest = self._latest[topic]
        message = latest.message
        if message is None:
            message = self._first_orders.get(topic)
            if message is None:
                hint = latest.hint.rstrip(", ")
                raise Fault(
                    Cause.NO_GOAL, f"waiting for {ORDERS[topic]} on {latest.endpoint.topic}" + (hint and f"; {hint}")
                )
            message.header.frame_id = message.header.frame_id or odometry.header.frame_id
        return message


def _seeing(terms: list[Term], latest: dict[str, Latest], sensors: Sensors) -> dict[str, SensorTopics]:
    """Name → topics of each of the robot's ``sensors`` that ``terms`` are made of."""
    found = {}
    for name, sensor in sensors.carried.items():
        own = [term for term in terms if isinstance(term, SensorTerm) and term.sensor == kind_of(name)]
        if own:
            names = [topic for topic in topics_of(name) if topic in latest]
            found[name] = SENSOR_TOPICS[kind_of(name)](own, [latest[topic] for topic in names], sensor, names)
    return found
