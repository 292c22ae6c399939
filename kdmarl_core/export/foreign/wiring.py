"""Match a network's inputs and outputs with the observation, the recurrent states and the command."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import numpy as np
import onnxruntime as ort

from kdmarl_core.contract import KdmarlError, Kinematics
from kdmarl_core.contract.terms import observation_size
from kdmarl_core.errors import did_you_mean
from kdmarl_core.export.foreign.description import Fitting
from kdmarl_core.export.foreign.network import Network, Value
from kdmarl_core.runtime.cost import first_line

FLOATS = ("float16", "float32", "float64")
"""Element types of observations, states and commands that can be cast to float32."""

Meaning = Literal["command", "index", "scores"]
"""Of an output: the command itself, the index of an action, or a score for each action."""


class State(NamedTuple):
    """A recurrent state: the network's input, and its output of the next state."""

    input: Value
    output: str
    shape: tuple[int, ...]


class Wiring(NamedTuple):
    """The roles of a network's inputs and outputs."""

    observation: Value
    shape: tuple[int, ...]
    """of the observation, for one robot"""
    states: list[State]
    output: Value
    """with its shape for one robot"""
    meaning: Meaning

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each input, for one robot."""
        return {self.observation.name: self.shape} | {state.input.name: state.shape for state in self.states}


class Reference:
    """The unchanged network, run step by step in plain ONNX Runtime."""

    def __init__(self, session: ort.InferenceSession, wiring: Wiring, source: str) -> None:
        self._session, self._wiring, self._source = session, wiring, source
        self.reset()

    def reset(self) -> None:
        """Reset the recurrent state."""
        self._states = [np.zeros(state.shape, state.input.dtype) for state in self._wiring.states]

    def __call__(self, observation: np.ndarray) -> np.ndarray:
        """The output for one observation (O,), flat; advances the recurrent state."""
        wiring = self._wiring
        given = {wiring.observation.name: observation.reshape(wiring.shape).astype(wiring.observation.dtype)}
        given |= {state.input.name: value for state, value in zip(wiring.states, self._states, strict=True)}
        names = [wiring.output.name, *(state.output for state in wiring.states)]
        output, *self._states = run(self._session, names, given, self._source)
        return output.reshape(-1)


def run(
    session: ort.InferenceSession, names: Sequence[str], given: dict[str, np.ndarray], source: str
) -> list[np.ndarray]:
    """The network's outputs of these ``names``.

    Raises:
        KdmarlError: ONNX Runtime cannot compute them.
    """
    try:
        return session.run(names, given)
    except Exception as error:  # ONNX Runtime has many error types of its own
        raise KdmarlError(
            f"{source}: cannot be run for one robot ({first_line(error)}); export it with a batch of 1 or of any size"
        ) from None


def match(network: Network, session: ort.InferenceSession, fitting: Fitting) -> Wiring:
    """Match a network with its description; ``session`` runs it once, on zeros, to get the outputs' shapes.

    Raises:
        KdmarlError: sizes, numbers or names of inputs and outputs do not fit.
    """
    observation = _observation(network, fitting)
    shape = _observation_shape(network, observation, fitting)
    states = [_state(network, *names, fitting) for names in fitting.description.recurrent.items()]
    given = {state.input.name: np.zeros(state.shape, state.input.dtype) for state in states}
    given[observation.name] = np.zeros(shape, observation.dtype)
    names = [value.name for value in network.outputs]
    made = dict(zip(names, run(session, names, given, network.source), strict=True))
    for state in states:
        if made[state.output].shape != state.shape:
            raise KdmarlError(
                f"{network.source}: state '{state.input.name}' has shape {list(state.shape)}, its next one, "
                f"'{state.output}', has {list(made[state.output].shape)}; name the output of the same state"
            )
    return Wiring(observation, shape, states, *_output(network, made, states, fitting))


def _observation(network: Network, fitting: Fitting) -> Value:
    """The one input that is not a recurrent state."""
    states = fitting.description.recurrent
    _require_known("input", states.keys(), network.inputs, fitting.source, network.source)
    others = [value for value in network.inputs if value.name not in states]
    if len(others) != 1:
        raise KdmarlError(
            f"{network.source}: takes {_listed(others) or 'no observation'}, but needs one input for the observation; "
            "name recurrent states under recurrent (input: output), and export a network that takes the whole "
            "observation as one vector"
        )
    if others[0].dtype not in FLOATS:
        raise KdmarlError(
            f"{network.source}: takes {others[0]}, but observations are float32; export a network with a float32 input"
        )
    return others[0]


def _observation_shape(network: Network, value: Value, fitting: Fitting) -> tuple[int, ...]:
    terms = fitting.description.observation
    size = observation_size(terms)
    *leading, width = (1, size) if value.shape is None else value.shape or (0,)
    if isinstance(width, int) and width != size:
        parts = " + ".join(f"{term.size} ({type(term).__struct_config__.tag})" for term in terms)
        total = f"{parts} = {size}" if len(terms) > 1 else parts
        raise KdmarlError(
            f"{fitting.source}: the observation has {total} values, {network.source} takes {width} ({value}); list the "
            "terms that it was trained with, in the same order"
        )
    if any(isinstance(each, int) and each != 1 for each in leading):
        raise KdmarlError(
            f"{network.source}: takes {value}, not one vector of {size} values; export it with a batch of 1 or any size"
        )
    return (*(1 for _ in leading), size)


def _state(network: Network, name: str, following: str, fitting: Fitting) -> State:
    value = next(each for each in network.inputs if each.name == name)
    _require_known("output", [following], network.outputs, fitting.source, network.source)
    if not value.shape or value.dtype not in FLOATS:
        raise KdmarlError(
            f"{network.source}: state {value} is not supported; export it as a float32 tensor of fixed shape"
        )
    # A dynamic size can only be the number of robots.
    return State(value, following, tuple(each if isinstance(each, int) else 1 for each in value.shape))


def _output(
    network: Network, made: dict[str, np.ndarray], states: list[State], fitting: Fitting
) -> tuple[Value, Meaning]:
    """The output with the command, and the meaning of its values."""
    choices, named = fitting.choices(), fitting.description.output_name
    taken = {state.output for state in states}
    values = [Value(name, str(array.dtype), array.shape) for name, array in made.items() if name not in taken]
    if named is not None:
        _require_known("output", [named], values, fitting.source, network.source)
        values = [value for value in values if value.name == named]
    size = fitting.action.size
    fits = [(value, meaning) for value in values if (meaning := _meaning(made[value.name], choices, size))]
    if len(fits) == 1:
        return fits[0]
    if fits:
        raise KdmarlError(
            f"{fitting.source}: {network.source} gives {_listed([value for value, _ in fits])}, and each could be the "
            "command; choose one with output_name"
        )
    if choices:
        needed = f"for {choices} actions it must give an index (one integer) or a score for each"
        remedy = "list the same number of commands or actions as the network has"
    else:
        needed = f"a command has {size} values, {_values(fitting)}"
        remedy = "give such a network, or for one with discrete actions their commands (output: {commands: ..})"
    raise KdmarlError(f"{network.source}: gives {_listed(values)}; {needed}; {remedy}")


def _values(fitting: Fitting) -> str:
    """The values of a command in words."""
    return fitting.action.describe() if isinstance(fitting.action, Kinematics) else "the index of an action"


def _meaning(array: np.ndarray, choices: int, size: int) -> Meaning | None:
    """The possible meaning of an output, by its size and type; commands have ``size`` values."""
    if not choices:
        return "command" if array.size == size and str(array.dtype) in FLOATS else None
    if array.size == 1 and array.dtype.kind in "iu":
        return "index"
    return "scores" if array.size == choices and str(array.dtype) in FLOATS else None


def _require_known(what: str, names: Iterable[str], values: Sequence[Value], source: str, network: str) -> None:
    known = [value.name for value in values]
    for name in names:
        if name not in known:
            remedy = did_you_mean(name, known)
            raise KdmarlError(f"{source}: {network} has no {what} '{name}', only {_listed(values) or 'none'}; {remedy}")


def _listed(values: Sequence[Value]) -> str:
    return " and ".join(map(str, values))
