"""The YAML file of ``kdmarl pack``, which describes a network to be packed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from kdmarl_core.contract import (
    Discrete,
    KdmarlError,
    Kinematics,
    Manifest,
    RobotType,
    Term,
    load_robot_types,
    mismatches,
)
from kdmarl_core.contract.bounds import Number, Positive
from kdmarl_core.contract.files import convert, load_yaml
from kdmarl_core.contract.kinematics import AnyKinematics
from kdmarl_core.contract.manifest import Domain, Provenance, RecurrentState, require_sensed
from kdmarl_core.contract.simulator_terms import ActionMask
from kdmarl_core.contract.terms import PreviousAction
from kdmarl_core.errors import did_you_mean

Row = Annotated[tuple[Number, ...], msgspec.Meta(min_length=1, max_length=16)]
"""A number for each value of a command."""


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of the description's parts: strict, immutable, keywords only."""


class Scaled(_Part, frozen=True, kw_only=True):
    """Outputs in other units: converted with ``scale`` and ``offset``, or indices (or scores) of ``commands``."""

    scale: Row | None = None
    """for an output of 1, in the units of commands"""
    offset: Row | None = None
    """for an output of 0, in the units of commands; None means 0"""
    commands: Annotated[list[Row], msgspec.Meta(min_length=2, max_length=1024)] | None = None
    """of each discrete action"""

    def __post_init__(self) -> None:
        if (self.scale is None) == (self.commands is None):
            raise ValueError("give scale (and offset) or commands")


class Description(_Part, frozen=True, kw_only=True):
    """What neither the network nor the robot type specifies."""

    robot_type: str
    observation: Annotated[list[Term], msgspec.Meta(min_length=1, max_length=32)]
    """in the order of the network's inputs"""
    control_period: Annotated[float, msgspec.Meta(ge=0.001, le=10)]
    """[s]"""
    output: Literal["normalized", "physical"] | Scaled | None = None
    """how outputs become commands: ``normalized`` maps −1 to 1 to the limits, ``physical`` are commands"""
    clip: bool = False
    """clip commands to the limits, as training did; otherwise a network that exceeds them is refused"""
    action: dict[str, Any] | None = None
    """limits, of which omitted ones default to the robot type's; or discrete actions"""
    name: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][\w.-]*$", max_length=100)] | None = None
    """None: the ONNX file's"""
    task: str = "unknown"
    goal_tolerance: Positive | None = None
    """[m]"""
    recurrent: Annotated[dict[str, str], msgspec.Meta(max_length=8)] = {}
    """the network's input of a recurrent state → its output of the next state"""
    output_name: str | None = None
    """the network's output to use, where several fit"""
    domain: Domain | None = None


class Fitting(msgspec.Struct, frozen=True):
    """A description that fits its robot type, and the robot type."""

    source: str
    """the description's path, for errors"""
    description: Description
    robot: RobotType
    action: AnyKinematics | Discrete

    def manifest(self, name: str, states: list[RecurrentState], provenance: Provenance) -> Manifest:
        """The manifest of a policy file; ``name`` is used if the description has none."""
        said = self.description
        return Manifest(
            name=said.name or name,
            task=said.task,
            robot_type=said.robot_type,
            observation=said.observation,
            action=self.action,
            control_period=said.control_period,
            goal_tolerance=said.goal_tolerance,
            recurrent=states,
            domain=said.domain,
            provenance=provenance,
        )

    def scaling(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Scale and offset from outputs to commands, (A,) float32 each; None if outputs are commands."""
        output = self.description.output
        if isinstance(output, Scaled):
            offset = output.offset or (0.0,) * self.action.size
            return None if output.scale is None else (_row(output.scale), _row(offset))
        if output == "normalized" and isinstance(self.action, Kinematics):
            return (self.action.high - self.action.low) / 2, (self.action.high + self.action.low) / 2
        return None

    def commands(self) -> np.ndarray | None:
        """The command of each discrete action, (n, A) float32; None if none are listed."""
        output = self.description.output
        return np.array(output.commands, np.float32) if isinstance(output, Scaled) and output.commands else None

    def choices(self) -> int:
        """Number of discrete actions; 0 if the network returns the command itself."""
        commands = self.commands()
        return self.action.n if isinstance(self.action, Discrete) else 0 if commands is None else len(commands)


def read_description(path: Path, robots: Path) -> Fitting:
    """Read the description of a network and check that it fits its robot type.

    Args:
        path: the YAML file, a :class:`Description`.
        robots: the robot types' file.

    Raises:
        KdmarlError: a file is missing or does not fit, or the robot type lacks something.
    """
    source = str(path)
    said = load_yaml(path, Description)
    types = load_robot_types(robots)
    robot = types.get(said.robot_type)
    if robot is None:
        raise KdmarlError(
            f"{source}: robot_type '{said.robot_type}' is not in {robots}, which has {', '.join(types) or 'none'}; "
            f"{did_you_mean(said.robot_type, types) if types else 'add it there'}"
        )
    fitting = Fitting(source, said, robot, _action(said.action or {}, robot.action, source))
    _check_output(fitting)
    _check_terms(fitting)
    unfit = mismatches(fitting.manifest("", [], _NOTHING), said.robot_type, robot)
    if unfit:
        raise KdmarlError(f"{source}: {'; '.join(unfit)}; change the description or the robot type in {robots}")
    return fitting


_NOTHING = Provenance(kdmarl_version="", commit="", config_sha256="", seed=0, expert="", created="")


def _action(said: dict[str, Any], robot: AnyKinematics, source: str) -> AnyKinematics | Discrete:
    """The action space of a description, with the robot's limits for omitted keys.

    Raises:
        KdmarlError: it is invalid, or of another kind than the robot's.
    """
    kind = said.get("kind", robot.kind)
    if kind == Discrete.__struct_config__.tag:
        return convert(said, Discrete, source, at="$.action")
    if kind != robot.kind:
        raise KdmarlError(
            f"{source}: $.action: kind is {kind}, the robot drives by {robot.kind} commands; set it to that"
        )
    return convert(msgspec.to_builtins(robot) | said, type(robot), source, at="$.action")


def _check_output(fitting: Fitting) -> None:
    """Check that the conversion of outputs to commands is given, and that listed commands are within the limits."""
    source, said, action = fitting.source, fitting.description, fitting.action
    if isinstance(action, Discrete):
        if said.output or said.clip:
            raise KdmarlError(f"{source}: discrete actions are indices, not commands; remove output and clip")
        return
    if said.output is None:
        raise KdmarlError(
            f"{source}: output is missing; give 'normalized' if the network returns -1 to 1 for lowest to highest, "
            f"'physical' if it returns {action.describe()}, or {{scale: [.., ..]}} or {{commands: [[.., ..], ..]}}"
        )
    _check_rows(said.output, action, source)
    commands = fitting.commands()
    if commands is None:
        return
    if said.clip:
        raise KdmarlError(f"{source}: clip is true, but listed commands must be within the limits; remove clip")
    outside = ((commands < action.low - 1e-6) | (commands > action.high + 1e-6)).any(-1)
    if outside.any():
        raise KdmarlError(
            f"{source}: command {commands[outside][0].tolist()} is beyond the limits {action.words()}; change the "
            "command or the limits"
        )


def _check_rows(output: object, action: Kinematics, source: str) -> None:
    """Check that rows have one number for each value of a command."""
    if not isinstance(output, Scaled):
        return
    for key, rows in (("scale", [output.scale]), ("offset", [output.offset]), ("commands", output.commands or [])):
        for row in rows:
            if row is not None and len(row) != action.size:
                raise KdmarlError(
                    f"{source}: $.output.{key}: {list(row)} has {len(row)} values, a command has {action.size}: "
                    f"{action.describe()}; give {action.size}"
                )


def _check_terms(fitting: Fitting) -> None:
    """Check that a robot can observe the terms."""
    source, terms = fitting.source, fitting.description.observation
    if any(isinstance(term, ActionMask) for term in terms):
        raise KdmarlError(f"{source}: masked actions cannot be packed; remove the action_mask term")
    if not isinstance(fitting.action, Kinematics):
        return
    require_sensed(terms, source)
    wrong = [term.count for term in terms if isinstance(term, PreviousAction) and term.count != fitting.action.size]
    if wrong:
        size, values = fitting.action.size, fitting.action.describe()
        raise KdmarlError(
            f"{source}: previous_action has count {wrong[0]}, a command has {size} values: {values}; give {size}"
        )


def _row(values: Row) -> np.ndarray:
    return np.array(values, np.float32)
