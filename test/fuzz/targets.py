"""What is fuzzed: each target takes one case, a random generator, and says whether it was accepted.

Refusing is by :class:`KdmarlError` or :class:`Fault`; whatever else escapes is a bug, and so is a command that breaks a
limit or follows from an input that is invalid beyond doubt.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import yaml
from geometry_msgs.msg import Pose, PoseArray, PoseStamped
from nav_msgs.msg import Odometry
from rclpy.context import Context
from rclpy.node import Node
from sensor_msgs.msg import LaserScan, Range

from fuzz.mutation import pick, spoil_bytes, spoil_data, spoil_message, spoil_ros
from kdmarl_core.contract import Discrete, KdmarlError, Manifest, load_robot_types, load_swarm, mismatches
from kdmarl_core.contract.team_terms import Neighbors, Targets
from kdmarl_core.contract.terms import Goal, Lidar, PreviousAction, RangeSensors, Velocity
from kdmarl_core.runtime import Controller, Policy, read_manifest
from kdmarl_core.runtime.faults import Fault
from kdmarl_ros.robot.inputs import Inputs
from kdmarl_ros.robot.latest import FUTURE_TOLERANCE
from support import REPOSITORY, ROBOT_TYPES, write_policy

Case = Callable[[np.random.Generator], bool]
SHIPPED = REPOSITORY / "models" / "navigation_mini.onnx"
TIMEOUT = 0.5
SECOND = 1_000_000_000
NOW = 1_700_000_000 * SECOND
"""ROS time of every case [ns]."""


@cache
def folder() -> Path:
    """For the files of this process."""
    return Path(tempfile.mkdtemp(prefix="fuzz"))


def manifest(rng: np.random.Generator) -> bool:
    """JSON of a manifest, spoiled as data or as text, and compared with every robot type."""
    whole = shipped_manifest()
    as_data = rng.random() < 0.7
    text = json.dumps(spoil_data(rng, json.loads(whole))).encode() if as_data else spoil_bytes(rng, whole)
    try:
        read = Manifest.from_json(text, "fuzz")
    except KdmarlError as error:
        return _refused(error)
    for name, robot in load_types().items():
        mismatches(read, name, robot)
    assert read.observation_size > 0
    assert Manifest.from_json(read.to_json(), "again") == read
    return True


@cache
def shipped_manifest() -> bytes:
    """The manifest of a policy of this repository."""
    return read_manifest(SHIPPED).to_json()


@cache
def load_types() -> dict[str, Any]:
    """The robot types of this repository."""
    return load_robot_types(ROBOT_TYPES)


@cache
def one_type() -> dict[str, Any]:
    """A robot type of this repository, as plain data."""
    return {"mini": yaml.safe_load(ROBOT_TYPES.read_text())["mini"]}


def robots(rng: np.random.Generator) -> bool:
    """A YAML file of robot types."""
    path = _write_yaml(rng, "robots.yaml", one_type())
    try:
        types = load_robot_types(path)
    except KdmarlError as error:
        return _refused(error)
    for robot in types.values():
        assert robot.radius > 0
        assert np.isfinite(robot.action.high).all()
    return True


def swarm(rng: np.random.Generator) -> bool:
    """A swarm file."""
    home = folder() / "swarm"
    if not home.exists():
        write_policy(home / "mini.onnx", "mini")
        (home / "types.yaml").write_text(yaml.safe_dump(one_type()))
    data = {
        "schema_version": 1, "name": "fuzz", "task": "navigation", "robot_types": "types.yaml",
        "policies": {"mini": "mini.onnx"}, "world": {"size": [6, 6], "discs": [[0, 0, 0.3]], "walls": [[1, 1, 2, 1]]},
        "robots": [
            {"name": "mini_1", "type": "mini", "pose": [-2, 0, 0], "goal": [2, 0]},
            {"name": "mini_2", "type": "mini", "pose": [2, -1, 3.1], "goal": [-2, -1]},
        ],
    }  # fmt: skip
    path = _write_yaml(rng, "swarm/swarm.yaml", data)
    try:
        read = load_swarm(path)
    except KdmarlError as error:
        return _refused(error)
    assert all(policy.is_relative_to(home) for policy in [*read.policies.values(), read.robot_types_file])
    assert all(math.isfinite(value) for robot in read.robots for value in (*robot.pose, *(robot.goal or ())))
    return True


def _write_yaml(rng: np.random.Generator, name: str, data: Any) -> Path:
    path = folder() / name
    if rng.random() < 0.6:
        path.write_text(yaml.dump(spoil_data(rng, data), Dumper=yaml.CDumper, allow_unicode=True))
    else:
        path.write_bytes(spoil_bytes(rng, yaml.dump(data, Dumper=yaml.CDumper).encode()))
    return path


def policy_bytes(rng: np.random.Generator) -> bool:
    """The bytes of a policy file."""
    return _run_policy(rng, spoil_bytes(rng, pick(rng, policy_files())))


def policy_fields(rng: np.random.Generator) -> bool:
    """A policy file's fields: graph, tensors, shapes, attributes, manifest."""
    model = onnx.ModelProto.FromString(pick(rng, policy_files()))
    spoil_message(rng, model)
    return _run_policy(rng, model.SerializeToString())


@cache
def policy_files() -> list[bytes]:
    """Valid policy files: a trained one, one with memory, one with discrete actions."""
    paths = [
        SHIPPED,
        write_policy(folder() / "memory.onnx", "mini", recurrent=True),
        write_policy(folder() / "discrete.onnx", "mini", action=Discrete(n=5)),
    ]
    return [path.read_bytes() for path in paths]


def _run_policy(rng: np.random.Generator, data: bytes) -> bool:
    path = folder() / "policy.onnx"
    path.write_bytes(data)
    try:
        policy = Policy.load(path)
    except KdmarlError as error:
        return _refused(error)
    for _ in range(2):
        command = policy(rng.normal(size=policy.manifest.observation_size).astype(np.float32))
        assert command.shape == (policy.manifest.action.size,)
    return True


class Robot:
    """A robot whose inputs receive messages directly, without a network."""

    def __init__(self, terms: list[Any], robot_type: str, guarded: bool) -> None:
        path = write_policy(folder() / f"{len(terms)}_{robot_type}.onnx", robot_type, observation=terms)
        self.controller = Controller(Policy.load(path), robot_type, load_types()[robot_type], scan_guard=guarded)
        self.inputs = Inputs(node(), terms, self.controller.sensors, TIMEOUT, {})
        self.action = load_types()[robot_type].action

    def command(self, messages: dict[str, Any], ages: dict[str, float]) -> np.ndarray:
        """The command that follows from ``messages``, which arrived ``ages`` [s] ago."""
        arrival = 1_000 * SECOND
        for topic, latest in self.inputs._latest.items():
            latest.message, latest.arrived = messages[topic], arrival - round(ages[topic] * SECOND)
        return self.controller(self.inputs.readings(NOW, arrival))


@cache
def node() -> Node:
    """A node whose subscriptions receive nothing."""
    context = Context()
    context.init(domain_id=99)
    return Node("fuzz", context=context)


@cache
def fleet() -> list[Robot]:
    """Robots that between them subscribe to everything."""
    rest = [Goal(range=5.0), Velocity(), PreviousAction()]
    ring = RangeSensors(count=8, range=2.0, past=3)
    return [
        Robot([Lidar(sectors=36, range=3.5), *rest], "scout", guarded=True),
        Robot([Lidar(sectors=24, range=3.0, fov=math.pi, past=2), Targets(count=3, range=5.0), *rest], "scout", False),
        Robot([ring, *rest, Neighbors(count=3, range=4.0)], "mini", guarded=True),
    ]


def messages(rng: np.random.Generator) -> bool:
    """The messages of every subscription, some of them spoiled, late or early."""
    robot = pick(rng, fleet())
    given = {topic: good_message(topic) for topic in robot.inputs.topics}
    ages = dict.fromkeys(given, 0.0)
    for topic in rng.choice(sorted(given), rng.integers(1, 3)):
        spoil_ros(rng, given[topic])
        if rng.random() < 0.1:
            ages[topic] = float(pick(rng, (-1e6, 0.49, 0.51, 1e6)))
    last = robot.controller._filter.last.copy()
    try:
        command = robot.command(given, ages)
    except (KdmarlError, Fault) as error:
        robot.controller.reset()  # as the control loop does
        return _refused(error)
    assert not (wrong := what_is_wrong(given, ages)), f"a command in spite of {wrong}"
    assert np.isfinite(command).all()
    assert (robot.action.low <= command).all()
    assert (command <= robot.action.high).all()
    assert (np.abs(command - last) <= robot.action.acceleration * robot.controller.period + 1e-5).all()
    return True


def good_message(topic: str) -> Any:
    """A message that a robot may drive by."""
    message: Any
    if topic == "scan":
        message = LaserScan(angle_min=-math.pi, angle_increment=2 * math.pi / 90, range_min=0.05, range_max=3.5)
        message.ranges = [2.0] * 90
    elif topic == "odom":
        message = Odometry(child_frame_id="r1/base_link")
        message.twist.twist.linear.x = 0.1
    elif topic == "goal_pose":
        message = PoseStamped()
        message.pose.position.x = 2.0
    elif topic in ("targets", "neighbors"):
        message = PoseArray(poses=[Pose(), Pose()])
        message.poses[0].position.x = message.poses[1].position.y = 1.5
    else:
        message = Range(min_range=0.05, max_range=2.0, range=1.0, field_of_view=0.35)
    message.header.frame_id = "r1/base_link" if topic == "neighbors" else "map"
    message.header.stamp.sec = NOW // SECOND
    return message


def what_is_wrong(given: dict[str, Any], ages: dict[str, float]) -> list[str]:
    """Messages that no robot may drive on, recognised without the code under test."""
    wrong = []
    for topic, message in given.items():
        stamp = message.header.stamp
        age = NOW - stamp.sec * SECOND - stamp.nanosec
        if topic not in ("goal_pose", "targets"):
            if ages[topic] > TIMEOUT or age > TIMEOUT * SECOND:
                wrong.append(f"{topic} is stale")
            if age < -FUTURE_TOLERANCE:
                wrong.append(f"{topic} is from the future")
        if topic in ("goal_pose", "targets") and message.header.frame_id != given["odom"].header.frame_id:
            wrong.append(f"{topic} is in another frame")
    wrong += [f"odom has {what}" for what in _wrong_odometry(given["odom"])]
    places = [("goal_pose", given["goal_pose"].pose)] if "goal_pose" in given else []
    places += [(topic, pose) for topic in ("targets", "neighbors") for pose in _poses(given, topic)]
    wrong += [
        f"{topic} is not finite" for topic, pose in places if not np.isfinite([pose.position.x, pose.position.y]).all()
    ]
    if "targets" in given and not given["targets"].poses:
        wrong.append("targets are none")
    wrong += [f"{topic} are thousands" for topic in ("targets", "neighbors") if len(_poses(given, topic)) > 1000]
    if "neighbors" in given and given["neighbors"].header.frame_id != given["odom"].child_frame_id:
        wrong.append("neighbors are in another frame")
    if "scan" in given:
        wrong += [f"scan has {what}" for what in _wrong_scan(given["scan"])]
    ranges = [message.range for topic, message in given.items() if topic.startswith("range_")]
    if sum(map(math.isnan, ranges)) > len(ranges) / 2:
        wrong.append("ranges are NaN")
    return wrong


def _poses(given: dict[str, Any], topic: str) -> list[Pose]:
    return given[topic].poses if topic in given else []


def _wrong_odometry(odometry: Odometry) -> list[str]:
    pose, twist = odometry.pose.pose, odometry.twist.twist
    q = pose.orientation
    wrong = []
    if not np.isfinite([pose.position.x, pose.position.y, twist.linear.x, twist.angular.z]).all():
        wrong.append("no finite numbers")
    if not abs(math.hypot(q.w, q.x, q.y, q.z) - 1) < 0.1:
        wrong.append("no orientation")
    return wrong


def _wrong_scan(scan: LaserScan) -> list[str]:
    ranges = np.array(scan.ranges)
    wrong = []
    if not 0 < ranges.size <= 10_000:
        wrong.append("no beams, or too many")
    if not 0 <= scan.range_min < scan.range_max:
        wrong.append("no limits")
    angles = [scan.angle_min, scan.angle_increment * (ranges.size - 1)]
    if not np.isfinite(angles).all() or np.abs(angles).max() > 100:
        wrong.append("no angles")
    if np.isnan(ranges).sum() > ranges.size / 2:
        wrong.append("no distances")
    return wrong


def _refused(error: Exception) -> bool:
    """Check that a refusal is one sentence of limited length."""
    text = str(error)
    assert text
    assert text.isprintable(), text
    assert len(text) < 30_000
    return False


TARGETS: dict[str, Case] = {
    "manifest": manifest,
    "robots": robots,
    "swarm": swarm,
    "policy bytes": policy_bytes,
    "policy fields": policy_fields,
    "messages": messages,
}
