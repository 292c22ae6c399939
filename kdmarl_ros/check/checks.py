"""Whether a robot is ready to be driven: its topics, its pose, its base and its clock, a finding for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from geometry_msgs.msg import Twist, TwistStamped
from rclpy.node import Node
from sensor_msgs.msg import LaserScan

from kdmarl_core.contract import KdmarlError, Swarm
from kdmarl_core.contract.sensors.base import Sensor
from kdmarl_core.doctor.findings import Finding
from kdmarl_core.runtime import Controller, Policy
from kdmarl_ros.check.listening import Ear, Heard
from kdmarl_ros.check.scan_picture import save_scan
from kdmarl_ros.node.qos import COMMAND_QOS, Endpoint, type_name
from kdmarl_ros.sensors import topics_of

SAME_RATE = 0.8
"""Share of a sensor's rate in its robot type that is not a difference."""

SAME_TIME, ANOTHER_TIME = 0.05, 1e6
"""Of two computers' clocks [s]: no difference, and more than a difference."""


Wait = Callable[[float], None]
"""Lets messages come for some seconds."""

DISCOVERY, STEP = 5.0, 0.1
"""How long nodes are given to find each other, and how often that is looked at [s]."""

PUSH = 0.3
"""Share of the top speed at which wheels are turned."""
PUSHES, PUSH_PERIOD = 10, 0.1
"""Commands, and the time from one to the next [s]."""
STANDING = 0.02
"""Measured speed of a base that stands [m/s]."""
LONGEST_STOP = 2.0
"""After the last command [s]."""


def look(
    node: Node, swarm: Swarm, seconds: float, picture: Path | None, wheels_up: bool, wait: Wait
) -> Iterator[Finding]:
    """Listen, then tell.

    Args:
        node: in the robot's namespace.
        swarm: with that robot only.
        seconds: how long to listen, once nodes have found each other.
        picture: file for a picture of the scan (.png); None for none.
        wheels_up: whether the wheels may be turned, to see whether they stop when commands cease.
        wait: lets messages come.
    """
    (robot,) = swarm.robots
    try:
        controller = Controller(
            Policy.load(swarm.policies[robot.type]),
            robot.type,
            swarm.robot_types[robot.type],
            scan_guard=swarm.parameters(robot).scan_guard is not False,
        )
        ear = Ear(node, swarm, controller)
    except KdmarlError as error:
        yield Finding("fail", str(error))
        return
    yield Finding("ok", f"{controller.policy.path} fits {robot.type}")
    waited = _wait_for_all(ear, wait)
    wait(seconds)
    heard = ear.heard()
    troubles = {endpoint.topic: trouble for endpoint in ear.inputs.endpoints if (trouble := endpoint.trouble())}
    for topic, said in heard.items():
        name = node.resolve_topic_name(topic)
        yield from _topic(name, said, waited + seconds, troubles.get(name, ""), _rate(controller, topic))
    if all(said.messages for said in heard.values()):
        trouble = ear.trouble()
        yield (
            Finding("fail", f"the robot would stand: {trouble}")
            if trouble
            else Finding("ok", "all inputs are as the policy needs them, and the robot's pose is known")
        )
    base = Endpoint(node, "cmd_vel", COMMAND_QOS, is_publisher=True)
    yield _base(base)
    if wheels_up:
        yield from _stops(node, base, ear, swarm, wait)
    latest = {topic: said.latest for topic, said in heard.items()}
    if picture and any(isinstance(message, LaserScan) for message in latest.values()):
        yield save_scan(picture, latest, swarm.robot_types[robot.type])


def _wait_for_all(ear: Ear, wait: Wait) -> float:
    """Until something has come on each topic, or ``DISCOVERY``; returns how long that took [s]."""
    waited = 0.0
    while waited < DISCOVERY and not all(said.messages for said in ear.heard().values()):
        wait(STEP)
        waited += STEP
    return waited


def _rate(controller: Controller, topic: str) -> float | None:
    """Of the sensor on a ``topic``, as its robot type says it [Hz]; None where that says nothing."""
    sensors: dict[str, Sensor] = controller.sensors.carried
    rates = [sensor.rate for name, sensor in sensors.items() if topic in topics_of(name)]
    return (rates and rates[0]) or None


def _topic(name: str, said: Heard, seconds: float, trouble: str, rate: float | None) -> Iterator[Finding]:
    if not said.messages:
        hint = f"a publisher there has {trouble}; " if trouble else ""
        yield Finding("fail", f"{name}: nothing in {seconds:.0f} s; {hint}start its driver, or remap the topic")
        return
    measured = 1 / said.interval if said.interval else 0.0
    frame = said.latest.header.frame_id
    text = f"{name}: {measured:.1f} Hz, in frame '{frame}'"
    if rate and not SAME_RATE * rate <= measured <= rate / SAME_RATE:
        yield Finding("warn", f"{text}; the robot type says {rate:g} Hz: correct one of both")
    else:
        yield Finding("ok", text)
    if said.lag is None or abs(said.lag) > ANOTHER_TIME:  # of another clock, which is why the robot would stand
        return
    if said.lag < -SAME_TIME:
        yield Finding(
            "fail", f"{name}: stamped {-said.lag:.2f} s in the future; synchronise the clocks, as with chrony"
        )
    elif measured and said.lag > SAME_TIME + 1 / measured:
        yield Finding(
            "warn", f"{name}: stamped {said.lag:.2f} s before it arrives; synchronise the clocks, or mend the driver"
        )


def _base(endpoint: Endpoint) -> Finding:
    """Whether anybody hears commands."""
    types = endpoint.types()
    known = [type_name(kind) for kind in (Twist, TwistStamped)]
    if not types:
        return Finding("fail", f"{endpoint.topic}: nobody subscribes; start the base's driver, or remap the topic")
    if not types & set(known):
        return Finding(
            "fail", f"{endpoint.topic}: subscribed to as {', '.join(sorted(types))}, not {' or '.join(known)}"
        )
    return Finding("ok", f"{endpoint.topic}: {', '.join(endpoint.others())} subscribes to {', '.join(sorted(types))}")


def _stops(node: Node, endpoint: Endpoint, ear: Ear, swarm: Swarm, wait: Wait) -> Iterator[Finding]:
    """Turn the wheels for a second, and see how long after the last command they stand."""
    if node.count_publishers("cmd_vel"):
        names = {info.node_name for info in node.get_publishers_info_by_topic(endpoint.topic)}
        yield Finding("fail", f"{endpoint.topic}: {', '.join(sorted(names))} commands this base; stop that first")
        return
    if "odom" not in ear.heard():
        yield Finding("warn", "the policy needs no odom, so whether the base stops cannot be seen")
        return
    stamped = type_name(TwistStamped) in endpoint.types()
    publisher = node.create_publisher(TwistStamped if stamped else Twist, "cmd_vel", COMMAND_QOS)
    stop = TwistStamped() if stamped else Twist()
    speed = PUSH * swarm.robot_type(swarm.robots[0]).action.top_speed
    fastest = waited = 0.0
    try:
        for _ in range(PUSHES):
            twist = Twist()
            twist.linear.x = speed
            message = TwistStamped(twist=twist) if stamped else twist
            if stamped:
                message.header.stamp = node.get_clock().now().to_msg()
            publisher.publish(message)
            wait(PUSH_PERIOD)
            fastest = max(fastest, _speed(ear))
        while _speed(ear) > STANDING and waited < LONGEST_STOP:
            wait(PUSH_PERIOD)
            waited += PUSH_PERIOD
    finally:  # a base without a timeout, or Ctrl-C: it must not drive on
        for _ in range(PUSHES):
            publisher.publish(stop)
            wait(PUSH_PERIOD / 10)
    node.destroy_publisher(publisher)
    if fastest <= STANDING:
        yield Finding("fail", f"the base was commanded {speed:.2f} m/s and odom measured none; is it enabled?")
    elif waited >= LONGEST_STOP:
        yield Finding(
            "fail",
            f"the base still drives {LONGEST_STOP:g} s after the last command; set a command timeout in its driver: a "
            "node that is killed cannot stop it",
        )
    else:
        yield Finding("ok", f"the base drove at {fastest:.2f} m/s, and stood {waited:.1f} s after the last command")


def _speed(ear: Ear) -> float:
    odometry = ear.heard()["odom"].latest
    return abs(float(odometry.twist.twist.linear.x)) if odometry else 0.0
