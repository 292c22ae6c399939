"""Declaring parameters that are read once at start, and refusing undeclared ones, with one-sentence errors."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSPolicyKind

from kdmarl_core.contract import KdmarlError, Swarm, load_swarm
from kdmarl_core.errors import did_you_mean
from kdmarl_ros.node.qos import OVERRIDABLE

QOS = "qos_overrides."
"""Prefix of parameters that ROS declares per topic: ``qos_overrides.<topic>.<publisher|subscription>.<policy>``."""
COMMON_TOPICS = ("/clock", "/diagnostics", "/parameter_events", "/rosout")
"""Topics of every node, for which shared parameter files may have overrides; they have no effect here."""

ANY = "any type"
"""Value of ``within`` for a parameter that may be a string or something else."""


def read_parameter(
    node: Node, name: str, default: Any, description: str, within: tuple[float, float] | str | None = None
) -> Any:
    """Declare a read-only parameter and return its value.

    Args:
        node: that has the parameter.
        name: of the parameter.
        default: its default value, or a ``Parameter.Type`` for no default (None).
        description: for ``ros2 param describe``.
        within: lowest and highest value of a number, or ``ANY``.

    Raises:
        KdmarlError: the given value has another type or is out of range.
    """
    descriptor = ParameterDescriptor(description=description, read_only=True, dynamic_typing=within == ANY)
    if within == ANY:
        within = None
    if within and isinstance(default, float):
        descriptor.floating_point_range = [FloatingPointRange(from_value=within[0], to_value=within[1])]
    elif within:
        descriptor.integer_range = [IntegerRange(from_value=int(within[0]), to_value=int(within[1]), step=1)]
    try:
        return node.declare_parameter(name, default, descriptor).value
    except (InvalidParameterTypeException, InvalidParameterValueException):
        given = node.declare_parameter(name, None, ParameterDescriptor(dynamic_typing=True)).value
        wanted = default if isinstance(default, Parameter.Type) else Parameter.Type.from_parameter_value(default)
        limits = f" between {within[0]} and {within[1]}" if within else ""
        example = f", with a decimal point as in {default}" if isinstance(default, float) else ""
        kind = wanted.name.lower().replace("_", " ")
        raise KdmarlError(f"parameter '{name}' is {given!r}; give a value of type {kind}{limits}{example}") from None


def read_names(node: Node, name: str, description: str) -> list[str]:
    """Declare a read-only list of names and return it, without empty names; no value means an empty list."""
    value = read_parameter(node, name, Parameter.Type.STRING_ARRAY, description)
    return [item for item in value or [] if item]


def planned_swarm(path: str, names: list[str]) -> Swarm:
    """The swarm file of a node's parameter ``swarm``, with the robots of its parameter ``robots``, or all.

    Raises:
        KdmarlError: the parameter is not set, or the swarm file does not fit.
    """
    if not path:
        raise KdmarlError("parameter 'swarm' is not set; give the path of a swarm file")
    swarm = load_swarm(path, allow_outside=True)  # runs none of its files; the plan was checked
    return swarm.only(names) if names else swarm


def refuse_unknown(node: Node, subscriptions: Iterable[str] = (), publishers: Iterable[str] = ()) -> None:
    """Check that all parameters set for ``node`` are known.

    Call it after declaring all parameters, except the QoS overrides, which are declared with the topics.

    Args:
        node: whose parameters were set on the command line or in files, under its name or with wildcards (``/**``).
        subscriptions: topics that it may subscribe to, with QoS overrides.
        publishers: topics that it may publish, with QoS overrides.

    Raises:
        KdmarlError: a parameter is unknown; ROS would silently ignore it.
    """
    declared: Collection[str] = node.get_parameters_by_prefix("").keys()
    ours = _overrides(node, subscriptions, ["subscription"], OVERRIDABLE)
    ours += _overrides(node, publishers, ["publisher"], OVERRIDABLE)
    common = _overrides(node, COMMON_TOPICS, ["subscription", "publisher"], tuple(QoSPolicyKind))
    for name in node._parameter_overrides:
        if name in declared or name in ours or name in common:
            continue
        known = _like(name, ours, common) if name.startswith(QOS) else declared
        raise KdmarlError(
            f"node {node.get_fully_qualified_name()} has no parameter '{name}'; {did_you_mean(name, known)}"
        )


def _overrides(node: Node, topics: Iterable[str], sides: list[str], policies: tuple[QoSPolicyKind, ...]) -> list[str]:
    """The names of the parameters that override these QoS policies of these topics."""
    names = [node.resolve_topic_name(topic) for topic in topics]
    return [f"{QOS}{name}.{side}.{policy.name.lower()}" for name in names for side in sides for policy in policies]


def _like(name: str, ours: list[str], common: list[str]) -> list[str]:
    """Known overrides with the topic of ``name``, else ours with the same ending, else all of ours."""
    topic = name.rpartition(".")[0].rpartition(".")[0]
    ending = name.removeprefix(topic)
    return (
        [one for one in ours + common if one.startswith(f"{topic}.")]
        or [one for one in ours if one.endswith(ending)]
        or ours
    )
