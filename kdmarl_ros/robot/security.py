"""An SROS2 policy for a swarm: an enclave for each robot, which permits what its node uses and nothing else.

The format is that of ``sros2`` (``ros2 security create_permission KEYSTORE ENCLAVE FILE`` reads it).
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from xml.etree import ElementTree

from kdmarl_core.contract import Robot, Swarm
from kdmarl_core.runtime.policy import read_manifest
from kdmarl_ros.robot.inputs import required_topics
from kdmarl_ros.robot.latest import ORDERS
from kdmarl_ros.swarm.options import Simulator
from kdmarl_ros.swarm.plan import ROBOT_NODE, TF, remappings

VERSION = "0.2.0"
"""Of the format."""

PUBLISHED = ("/diagnostics", "/parameter_events", "/rosout")
LIFECYCLE = (
    "change_state",
    "get_state",
    "get_available_states",
    "get_available_transitions",
    "get_transition_graph",
)
OTHERS = (
    "get_type_description",  # from ROS 2 Iron on
    "describe_parameters",
    "get_parameter_types",
    "get_parameters",
    "list_parameters",
    "set_parameters",
    "set_parameters_atomically",
)


def security_policy(swarm: Swarm, simulator: Simulator) -> str:
    """XML with an enclave for each robot of ``swarm``.

    Raises:
        KdmarlError: a policy file cannot be read.
    """
    root = ElementTree.Element("policy", version=VERSION)
    enclaves = ElementTree.SubElement(root, "enclaves")
    for robot in swarm.robots:
        profile = _profile(enclaves, robot)
        published, subscribed, services = used(swarm, robot, simulator)
        _list(profile, "topics", "publish", published)
        _list(profile, "topics", "subscribe", subscribed)
        _list(profile, "services", "reply", services)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def used(swarm: Swarm, robot: Robot, simulator: Simulator) -> tuple[list[str], list[str], list[str]]:
    """Full names of what a robot's node publishes, subscribes to and serves, each sorted."""
    namespace = f"/{robot.name}"
    renamed = dict(remappings(swarm, [robot]))
    terms = read_manifest(swarm.policies[robot.type]).observation
    inputs = list(required_topics(terms, swarm.robot_type(robot).sensors))
    source = swarm.parameters(robot).pose_source
    goes = bool(ORDERS.keys() & set(inputs))
    if goes and source == "pose":
        inputs.append("pose")
    subscribed = {renamed.get(name, name) for topic in inputs for name in [f"{namespace}/{topic}"]}
    if simulator.has_clock:
        subscribed.add("/clock")
    if goes and source == "tf":
        subscribed |= {posixpath.join(namespace, renamed.get(topic, topic)) for topic in TF}
    command = renamed.get(f"{namespace}/cmd_vel", f"{namespace}/cmd_vel")
    node = f"{namespace}/{ROBOT_NODE}"
    published = {*PUBLISHED, command, f"{node}/transition_event"}
    return sorted(published), sorted(subscribed), sorted(f"{node}/{name}" for name in (*LIFECYCLE, *OTHERS))


def _profile(enclaves: ElementTree.Element, robot: Robot) -> ElementTree.Element:
    enclave = ElementTree.SubElement(enclaves, "enclave", path=f"/{robot.name}/{ROBOT_NODE}")
    profiles = ElementTree.SubElement(enclave, "profiles")
    return ElementTree.SubElement(profiles, "profile", ns=f"/{robot.name}", node=ROBOT_NODE)


def _list(profile: ElementTree.Element, kind: str, right: str, names: Iterable[str]) -> None:
    listed = ElementTree.SubElement(profile, kind, {right: "ALLOW"})
    for name in names:
        ElementTree.SubElement(listed, kind.removesuffix("s")).text = name
