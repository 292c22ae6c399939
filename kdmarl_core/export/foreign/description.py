"""The YAML file of ``kdmarl pack``, which describes a network to be packed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec
import numpy as np

from kdmarl_core.contract import (
    DiffDrive,
    Discrete,
    KdmarlError,
    Manifest,
    RobotType,
    Term,
    load_robot_types,
    mismatches,
)
from kdmarl_core.contract.files import load_yaml
from kdmarl_core.contract.manifest import Domain, Provenance, RecurrentState, require_sensed
from kdmarl_core.contract.simulator_terms import ActionMask
from kdmarl_core.contract.spaces import Number, Positive
from kdmarl_core.contract.terms import PreviousAction
from kdmarl_core.errors import did_you_mean

COMMAND = "forward speed [m/s] and yaw rate [rad/s]"
"""The two values of a command."""

Pair = tuple[Number, Number]
"""For the forward speed and the yaw rate."""


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of the description's parts: strict, immutable, keywords only."""


class Drive(_Part, frozen=True, kw_only=True, tag_field="kind", tag="diff_drive"):
    """Limits of a differential drive, as in :class:`~kdmarl_core.contract.DiffDrive`; None is the robot type's."""

    linear: tuple[Number, Number] | None = None
    angular: tuple[Number, Number] | None = None
    linear_acceleration: Positive | None = None
    angular_acceleration: Positive | None = None

    def of(self, robot: DiffDrive) -> DiffDrive:
        """The action space, with the robot's limits where this says nothing.

        Raises:
            ValueError: the limits are invalid.
        """
        said = {name: value for name in self.__struct_fields__ if (value := getattr(self, name)) is not None}
        return msgspec.structs.replace(robot, **said)


class Scaled(_Part, frozen=True, kw_only=True):
    """Outputs in other units: converted with ``scale`` and ``offset``, or indices (or scores) of ``commands``."""

    scale: Pair | None = None
    """[m/s, rad/s] for an output of 1"""
    offset: Pair = (0.0, 0.0)
    """[m/s, rad/s] for an output of 0"""
    commands: Annotated[list[Pair], msgspec.Meta(min_length=2, max_length=1024)] | None = None
    """[m/s, rad/s] of each discrete action"""

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
    """how outputs become commands: ``normalized`` maps −1 to 1 to the limits, ``physical`` are m/s and rad/s"""
    clip: bool = False
    """clip commands to the limits, as training did; otherwise a network that exceeds them is refused"""
    action: Drive | Discrete = Drive()
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
    action: DiffDrive | Discrete

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
        """Scale and offset from outputs to commands, (2,) float32 each; None if outputs are commands."""
        output = self.description.output
        if isinstance(output, Scaled):
            return None if output.scale is None else (_row(output.scale), _row(output.offset))
        if output == "normalized" and isinstance(self.action, DiffDrive):
            return (self.action.high - self.action.low) / 2, (self.action.high + self.action.low) / 2
        return None

    def commands(self) -> np.ndarray | None:
        """The command of each discrete action, (n, 2) float32 [m/s, rad/s]; None if none are listed."""
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
    try:
        action = said.action if isinstance(said.action, Discrete) else said.action.of(robot.action)
    except ValueError as error:
        raise KdmarlError(f"{source}: $.action: {error}") from None
    fitting = Fitting(source, said, robot, action)
    _check_output(fitting)
    _check_terms(fitting)
    unfit = mismatches(fitting.manifest("", [], _NOTHING), said.robot_type, robot)
    if unfit:
        raise KdmarlError(f"{source}: {'; '.join(unfit)}; change the description or the robot type in {robots}")
    return fitting


_NOTHING = Provenance(kdmarl_version="", commit="", config_sha256="", seed=0, expert="", created="")


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
            f"'physical' if it returns {COMMAND}, or {{scale: [.., ..]}} or {{commands: [[.., ..], ..]}}"
        )
    commands = fitting.commands()
    if commands is None:
        return
    if said.clip:
        raise KdmarlError(f"{source}: clip is true, but listed commands must be within the limits; remove clip")
    outside = ((commands < action.low - 1e-6) | (commands > action.high + 1e-6)).any(-1)
    if outside.any():
        raise KdmarlError(
            f"{source}: command {commands[outside][0].tolist()} is beyond the limits {limits(action)}; change the "
            "command or the limits"
        )


def _check_terms(fitting: Fitting) -> None:
    """Check that a robot can observe the terms."""
    source, terms = fitting.source, fitting.description.observation
    if any(isinstance(term, ActionMask) for term in terms):
        raise KdmarlError(f"{source}: masked actions cannot be packed; remove the action_mask term")
    if not isinstance(fitting.action, DiffDrive):
        return
    require_sensed(terms, source)
    wrong = [term.count for term in terms if isinstance(term, PreviousAction) and term.count != fitting.action.size]
    if wrong:
        raise KdmarlError(f"{source}: previous_action has count {wrong[0]}, a command has 2 values: {COMMAND}; give 2")


def _row(pair: Pair) -> np.ndarray:
    return np.array(pair, np.float32)


def limits(action: DiffDrive) -> str:
    """The limits of a drive in words."""
    (slowest, fastest), (right, left) = action.linear, action.angular
    return f"{slowest:g} to {fastest:g} m/s, {right:g} to {left:g} rad/s"
