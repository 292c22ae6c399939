"""Declaring parameters that are read once at start, with one-sentence errors."""

from __future__ import annotations

from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

from kdmarl_core.contract import KdmarlError

ANY = "any type"
"""Given as the limits of a parameter that may be text or something else."""


def read_parameter(
    node: Node, name: str, default: Any, description: str, within: tuple[float, float] | str | None = None
) -> Any:
    """Declare a read-only parameter and return its value.

    Args:
        node: that has the parameter.
        name: of the parameter.
        default: its value when none is given, or a ``Parameter.Type`` for no value (None).
        description: for ``ros2 param describe``.
        within: lowest and highest value of a number, or ``ANY``.

    Raises:
        KdmarlError: the value given is of another type or out of range.
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
    """Declare a read-only list of names and return it; no value and empty names both read as none."""
    value = read_parameter(node, name, Parameter.Type.STRING_ARRAY, description)
    return [item for item in value or [] if item]
