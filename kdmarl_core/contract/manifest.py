"""The manifest: what a policy file says of itself, as JSON in the ONNX metadata under ``kdmarl``."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
import numpy as np

from kdmarl_core.contract.bounds import NonNegative, Positive
from kdmarl_core.contract.files import decode_json
from kdmarl_core.contract.kinematics import Kinematics
from kdmarl_core.contract.robots import RobotType
from kdmarl_core.contract.sensors import SensorTerm
from kdmarl_core.contract.simulator_terms import ActionMask, Vector
from kdmarl_core.contract.spaces import ActionSpace
from kdmarl_core.contract.team_terms import Neighbors
from kdmarl_core.contract.terms import PreviousAction, Term, observation_size
from kdmarl_core.errors import KdmarlError

SCHEMA_VERSION = 1
METADATA_KEY = "kdmarl"
Whole = Annotated[int, msgspec.Meta(ge=0)]


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of the manifest's parts: strict, immutable, keywords only."""


class RecurrentState(_Part, frozen=True, kw_only=True):
    """One recurrent state: graph input ``name`` and output ``name_next`` of the same shape."""

    name: str
    shape: Annotated[list[Annotated[int, msgspec.Meta(ge=1, le=4096)]], msgspec.Meta(min_length=1, max_length=4)]


class Domain(_Part, frozen=True, kw_only=True):
    """Where the policy was trained: outside of it, nothing is known of its behaviour."""

    radius: tuple[float, float]
    """body radius, lowest and highest [m]"""
    team_size: tuple[int, int]
    arena: tuple[float, float]
    """side of the square arena, lowest and highest [m]"""
    sensor_noise: tuple[float, float]
    """standard deviation of distances, lowest and highest [m]"""
    action_delay: tuple[float, float]
    """from command to motion, lowest and highest [s]"""
    other_speed: NonNegative
    """fastest other robot [m/s]"""


class Packed(_Part, frozen=True, kw_only=True):
    """The network of another project that a policy file was made from."""

    files: dict[str, str]
    """name → SHA-256 in hex, of the ONNX file and of those that held its weights"""
    producer: str
    """the program that wrote it, as it says itself"""


class Provenance(_Part, frozen=True, kw_only=True):
    """Where the policy came from."""

    kdmarl_version: str
    commit: str
    """git commit of the project, with ``-dirty`` for uncommitted changes; ``unknown`` outside git"""
    config_sha256: str
    """of the resolved training config, or of the description that a network was packed by"""
    seed: Whole
    expert: str
    """name of the expert it was distilled from, or ``none``"""
    expert_sha256: str = ""
    """of the settings, task and seed that this expert was trained with; empty where that is not known"""
    created: str
    """date, ISO 8601"""
    packed: Packed | msgspec.UnsetType = msgspec.UNSET
    """of another project's network only"""


class Interval(_Part, frozen=True, kw_only=True):
    """An estimate with its 95 % interval."""

    mean: float
    low: float
    high: float


class Results(_Part, frozen=True, kw_only=True):
    """What was measured; see ``docs/results`` for the commands.

    The recorded figures of :mod:`kdmarl_core.contract.figures` are here and, as ``expert_…``, those of the expert.
    """

    command: str
    """the command that measured this"""
    episodes: Whole
    evaluation_seed: Whole
    success: Interval | None = None
    """robots of this type at their goal at episode end, if the task has goals"""
    covered: Interval | None = None
    """share of the places to cover that are covered at episode end, if the task has such"""
    win_rate: Interval | None = None
    """share of episodes that are won, if the task has such"""
    collisions: Interval | None = None
    """per robot-episode, if the task counts them"""
    return_: Interval = msgspec.field(name="return")
    expert_success: float | None = None
    expert_covered: float | None = None
    expert_win_rate: float | None = None
    expert_collisions: float | None = None
    expert_return: float
    random_return: float
    retention: Interval | None = None
    """(return − random) / (expert − random); None where the expert was no better than random commands"""
    macs: Whole
    expert_macs: Whole | None
    """None where they are not known"""
    parameters: Whole
    bytes: Whole
    """of the weights"""
    latency: Positive
    """median of one call [s]"""
    cpu: str
    """that latency was measured on"""


class Manifest(_Part, frozen=True, kw_only=True):
    """Everything a robot must know of a policy file before it may run it."""

    schema_version: int = SCHEMA_VERSION
    name: str
    task: str
    robot_type: str
    observation: Annotated[list[Term], msgspec.Meta(min_length=1, max_length=32)]
    action: ActionSpace
    control_period: Annotated[float, msgspec.Meta(ge=0.001, le=10)]
    """[s]"""
    goal_tolerance: Positive | None = None
    """distance at which the task counts a goal as reached [m]; None for tasks without goals"""
    recurrent: list[RecurrentState] = []
    quantization: Literal["none", "int8"] = "none"
    """of weights and activations; with int8 the linear layers are computed in integers"""
    domain: Domain | None = None
    provenance: Provenance
    results: Results | None = None

    @property
    def observation_size(self) -> int:
        """Length of the observation vector."""
        return observation_size(self.observation)

    def to_json(self) -> bytes:
        """The manifest as JSON."""
        return msgspec.json.encode(self)

    @classmethod
    def from_json(cls, data: bytes | str, source: str) -> Manifest:
        """Decode strictly; ``source`` names the file in errors.

        Raises:
            KdmarlError: it does not fit, or has another schema version.
        """
        version = decode_json(data, _Version, source).schema_version
        if version != SCHEMA_VERSION:
            raise KdmarlError(
                f"{source}: manifest schema_version is {version}, this version of kdmarl reads {SCHEMA_VERSION}; "
                "export the policy again with this version"
            )
        return decode_json(data, cls, source)


class _Version(msgspec.Struct):
    schema_version: int


def mismatches(manifest: Manifest, robot_type: str, robot: RobotType) -> list[str]:
    """What keeps a robot from running a policy, each a sentence; empty when it may."""
    found = []
    if manifest.robot_type != robot_type:
        found.append(f"the policy is for robot type '{manifest.robot_type}', this robot is a '{robot_type}'")
    if isinstance(manifest.action, Kinematics):
        found += _motion_mismatches(manifest.action, robot.action)
    if manifest.domain and not manifest.domain.radius[0] - 1e-6 <= robot.radius <= manifest.domain.radius[1] + 1e-6:
        found.append(f"the robot's radius is {robot.radius} m, the policy was trained for {manifest.domain.radius} m")
    for term in manifest.observation:
        if isinstance(term, SensorTerm):
            found += robot.sensors.lacks(term)
    return found


def require_sensed(terms: list[Term], who: str) -> None:
    """See that a robot's own topics can give what a policy observes.

    Raises:
        KdmarlError: only a simulator gives a term, or none of them needs a topic.
    """
    for term in terms:
        if isinstance(term, Neighbors) and term.motion:
            raise KdmarlError(
                f"{who}: the policy's neighbors term has motion: true, which only simulation gives; retrain"
            )
        if isinstance(term, Vector | ActionMask):
            name = type(term).__struct_config__.tag
            raise KdmarlError(f"{who}: the policy has the {name} term, which only its own simulator gives; retrain")
    if all(isinstance(term, PreviousAction) for term in terms):
        raise KdmarlError(
            f"{who}: the policy observes nothing but its own previous_action; retrain with a sensor's term"
        )


def _motion_mismatches(action: Kinematics, robot: Kinematics) -> list[str]:
    if type(action) is not type(robot):
        return [f"the policy drives by {action.kind} commands, the robot by {robot.kind} commands"]
    if not action.within(robot):
        return [
            f"the policy commands up to {_rounded(action.high)} [{action.units}], "
            f"the robot allows {_rounded(robot.high)}"
        ]
    return []


def _rounded(values: np.ndarray) -> list[float]:
    return [round(float(value), 3) for value in values]
