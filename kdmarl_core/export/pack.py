"""Make a policy file from another project's ONNX network: check that it fits a robot type, run it, and write it."""

from __future__ import annotations

import datetime
import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx

from kdmarl_core import __version__
from kdmarl_core.contract import KdmarlError, Kinematics, Manifest
from kdmarl_core.contract.checksums import note_sum
from kdmarl_core.contract.manifest import Packed, Provenance, RecurrentState
from kdmarl_core.contract.writing import replacing
from kdmarl_core.export.foreign.adapter import adapted
from kdmarl_core.export.foreign.description import Fitting, read_description
from kdmarl_core.export.foreign.network import Network
from kdmarl_core.export.foreign.samples import random_observations
from kdmarl_core.export.foreign.wiring import Reference, Wiring, match
from kdmarl_core.runtime import Policy
from kdmarl_core.runtime.controller import ROUNDING
from kdmarl_core.runtime.cost import first_line

MODELS = Path("models")
"""Default folder of policy files."""

RANDOM_OBSERVATIONS = 1000
EPISODE = 50
"""Observations between two resets of the recurrent state."""

TOLERANCE = 1e-5
"""Largest difference allowed between a policy file and its network, in the units of commands for values up to 1;
relative for larger ones."""

UNDECIDED = 0.001
"""Share of discrete actions that may differ: between two almost equal scores, rounding picks one."""


class Tried(NamedTuple):
    """A network's outputs for zeros and then for random observations."""

    observations: np.ndarray
    """(M, O)"""
    commands: np.ndarray
    """(M, A) in the action space's units, before clipping"""
    clipped: float
    """share of the random observations whose command lies beyond the limits"""


class PackedPolicy(NamedTuple):
    """A policy file that was written, and the results of its checks."""

    path: Path
    manifest: Manifest
    network: Network
    wiring: Wiring
    fitting: Fitting
    opset: int
    """of the policy file"""
    tried: int
    """number of observations, including zeros"""
    difference: float
    """largest from the network, in the units of commands; of discrete actions, share of choices that differ"""
    clipped: float
    """share of the random observations whose command was clipped"""


def pack(path: Path, description: Path, robots: Path, output: Path | None = None) -> PackedPolicy:
    """Write the network at ``path`` as a policy file, to ``models/<name>.onnx`` unless ``output`` is given.

    Raises:
        KdmarlError: network, description and robot type do not fit each other, the network's commands are invalid, or
            the file cannot be written; then nothing is written.
    """
    fitting = read_description(description, robots)
    network = Network(path)
    session = network.session()
    wiring = match(network, session, fitting)
    model = network.plain(wiring.shapes, [wiring.output.name, *(state.output for state in wiring.states)])
    manifest = _manifest(network, wiring, fitting, description)
    model = adapted(model, wiring, fitting, manifest)
    tried = _tried(Reference(session, wiring, network.source), wiring, fitting, network.source)
    target = output or MODELS / f"{manifest.name}.onnx"
    _require_other(target, [path, description, robots, *(path.parent / name for name in network.files)])
    with replacing(target) as scratch:
        scratch.write_bytes(_checked_bytes(model, network.source))
        policy = _loaded(scratch, network.source)
        difference = _difference(policy, tried, fitting, network.source)
    note_sum(target)
    opset = model.opset_import[0].version
    return PackedPolicy(
        target, manifest, network, wiring, fitting, opset, len(tried.observations), difference, tried.clipped
    )


def _manifest(network: Network, wiring: Wiring, fitting: Fitting, description: Path) -> Manifest:
    states = [RecurrentState(name=state.input.name, shape=list(state.shape)) for state in wiring.states]
    provenance = Provenance(
        kdmarl_version=__version__,
        commit="unknown",
        config_sha256=hashlib.sha256(description.read_bytes()).hexdigest(),
        seed=0,
        expert="none",
        created=datetime.date.today().isoformat(),
        packed=Packed(files=network.files, producer=network.producer),
    )
    return fitting.manifest(Path(network.source).stem, states, provenance)


def _tried(reference: Reference, wiring: Wiring, fitting: Fitting, source: str) -> Tried:
    """Run the network, and check that its commands are within the limits.

    Raises:
        KdmarlError: an output is not finite, beyond the limits, or not the index of an action.
    """
    random = np.random.default_rng(0)
    terms = fitting.description.observation
    rows = random_observations(terms, fitting.action, RANDOM_OBSERVATIONS, random)
    observations = np.concatenate([np.zeros_like(rows[:1]), rows])
    outputs = []
    for index, row in enumerate(observations):
        if index % EPISODE == 0:
            reference.reset()
        outputs.append(reference(row).astype(np.float64))
        if not np.isfinite(outputs[-1]).all():
            what = f"random observation {index} within the sensors' ranges" if index else "an all-zero observation"
            raise KdmarlError(f"{source}: gives {outputs[-1][:8].tolist()} for {what}; its weights or ranges are wrong")
    commands = _commands(np.stack(outputs), wiring, fitting, source)
    action = fitting.action
    if not isinstance(action, Kinematics):
        return Tried(observations, commands, 0.0)
    slack = ROUNDING * (action.high - action.low)
    beyond = ((commands < action.low - slack) | (commands > action.high + slack)).any(-1)
    if beyond.any() and not fitting.description.clip:
        spans = zip(commands.min(0), commands.max(0), action.axes, strict=True)
        given = ", ".join(f"{low:.3g} to {high:.3g} {axis.unit}" for low, high, axis in spans)
        raise KdmarlError(
            f"{source}: commands {given} for readings "
            f"within the sensors' ranges, the limits are {action.words()}; set 'clip: true' in "
            f"{fitting.source} if its training clipped actions too, as Stable-Baselines3's does, else correct its "
            "output"
        )
    return Tried(observations, commands, float(beyond.mean()))


def _commands(outputs: np.ndarray, wiring: Wiring, fitting: Fitting, source: str) -> np.ndarray:
    """Convert outputs (M, values) to commands, (M, A)."""
    if wiring.meaning == "command":
        scale, offset = fitting.scaling() or (1, 0)
        return outputs * scale + offset
    indices = outputs[:, 0].astype(int) if wiring.meaning == "index" else outputs.argmax(-1)
    wrong = (indices < 0) | (indices >= fitting.choices())
    if wrong.any():
        raise KdmarlError(
            f"{source}: chooses action {indices[wrong][0]}, {fitting.source} has actions 0 to {fitting.choices() - 1}; "
            "list all that the network has"
        )
    listed = fitting.commands()
    return indices[:, None] if listed is None else listed[indices]


def _require_other(target: Path, sources: list[Path]) -> None:
    """Check that the policy file does not overwrite one of its sources."""
    for each in sources:
        if target.exists() and target.samefile(each):
            raise KdmarlError(
                f"{target}: is a source of the policy file and would be overwritten; give another --output"
            )


def _checked_bytes(model: onnx.ModelProto, source: str) -> bytes:
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # the checker has many error types of its own
        raise KdmarlError(f"{source}: cannot be packed ({first_line(error)}); export it again") from None
    return model.SerializeToString(deterministic=True)


def _loaded(scratch: Path, source: str) -> Policy:
    """Load the file as robots' nodes do; errors name the network."""
    try:
        return Policy.load(scratch)
    except KdmarlError as error:
        raise KdmarlError(str(error).replace(str(scratch), source)) from None


def _difference(policy: Policy, tried: Tried, fitting: Fitting, source: str) -> float:
    """Largest difference between the policy file's commands and the network's.

    Raises:
        KdmarlError: it is too large.
    """
    given = []
    for index, row in enumerate(tried.observations):
        if index % EPISODE == 0:
            policy.reset()
        given.append(policy(row))
    policy.reset()
    expected = tried.commands
    if isinstance(fitting.action, Kinematics) and fitting.description.clip:
        expected = expected.clip(fitting.action.low, fitting.action.high)
    differences = np.abs(np.stack(given) - expected)
    if fitting.choices():
        share = float((differences > TOLERANCE).any(-1).mean())
        if share > UNDECIDED:
            raise KdmarlError(
                f"{source}: the policy file's actions differ in {share:.1%} of all cases; report this bug"
            )
        return share
    if not (differences <= TOLERANCE * np.maximum(1, np.abs(expected))).all():
        raise KdmarlError(f"{source}: the policy file's commands differ by {differences.max():.2g}; report this bug")
    return float(differences.max())
