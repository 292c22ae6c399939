"""Actions that know ROS."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING

import yaml
from launch import LaunchContext
from launch.actions import ExecuteProcess, ProcessOptions
from launch_ros.parameter_descriptions import ParameterValue, Value

if TYPE_CHECKING:
    from typing_extensions import Unpack

Parameters = Mapping[str, ParameterValue | Value]


class Node(ExecuteProcess):
    """Runs a node, or several."""

    def __init__(
        self,
        *,
        executable: str,
        package: str | None = None,
        name: str | None = None,
        namespace: str | None = None,
        exec_name: str | None = None,
        parameters: Sequence[str | Path | Parameters] | None = None,
        remappings: Iterable[tuple[str, str]] | None = None,
        ros_arguments: Iterable[str] | None = None,
        arguments: Iterable[str] | None = None,
        **kwargs: Unpack[ProcessOptions],
    ) -> None:
        ros = ["--ros-args", *ros_arguments] if ros_arguments else []
        super().__init__(cmd=[executable, *(arguments or ()), *ros, "--ros-args"], name=exec_name, **kwargs)
        self.package = package
        self.node_name = name
        self.namespace = namespace
        self.parameters = parameters or ()
        self.remappings = remappings or ()

    def execute(self, context: LaunchContext) -> None:
        """Complete ``cmd``."""
        rules = {"__node": self.node_name, "__ns": self.namespace, **dict(self.remappings)}
        for name, value in rules.items():
            self.cmd += ["-r", f"{name}:={value}"] if value else []
        for given in self.parameters:
            self.cmd += ["--params-file", self._written(given) if isinstance(given, Mapping) else str(given)]

    def _written(self, parameters: Parameters) -> str:
        """A file of parameters."""
        values = {name: _value(name, value) for name, value in parameters.items()}
        node = f"{(self.namespace or '').rstrip('/')}/{self.node_name}" if self.node_name and self.namespace else "/**"
        with NamedTemporaryFile("w", prefix="launch_params_", delete=False) as file:
            yaml.safe_dump({node: {"ros__parameters": values}}, file)
        return file.name


def _value(name: str, given: ParameterValue | Value) -> Value:
    """What a node is given.

    Raises:
        TypeError: launch_ros knows no ROS type for it.
    """
    value = given.value if isinstance(given, ParameterValue) else given
    kinds = {type(item) for item in (value if isinstance(value, list) else [value])}
    if len(kinds) != 1 or not kinds <= {bool, int, float, str}:
        raise TypeError(f"parameter {name}: {value!r}")
    return value
