"""Wrap another project's graph with the inputs and outputs of a policy file."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import compose, helper, numpy_helper

from kdmarl_core.contract import Kinematics, Manifest
from kdmarl_core.export.foreign.description import Fitting
from kdmarl_core.export.foreign.network import Size
from kdmarl_core.export.foreign.wiring import Wiring
from kdmarl_core.export.onnx_model import set_manifest, strip

INNER = "network/"
"""Prefix of names in the other project's graph."""


def adapted(model: onnx.ModelProto, wiring: Wiring, fitting: Fitting, manifest: Manifest) -> onnx.ModelProto:
    """``model`` as a policy file for one robot, with the types, shapes, names and units of ``manifest``."""
    model = compose.add_prefix(model, INNER)
    inner = list(model.graph.node)
    before, after = _Chain(model.graph, "before"), _Chain(model.graph, "after")
    size = manifest.observation_size
    inputs = [_tensor("observation", (1, size))]
    seen = before.shaped("observation", (1, size), wiring.shape)
    before.end(before.cast(seen, "float32", wiring.observation.dtype), INNER + wiring.observation.name)
    outputs = [_command(after, wiring, fitting)]
    for state in wiring.states:
        name, dtype = state.input.name, state.input.dtype
        inputs.append(_tensor(name, state.shape))
        before.end(before.cast(name, "float32", dtype), INNER + name)
        outputs.append(_tensor(f"{name}_next", state.shape))
        after.end(after.cast(INNER + state.output, dtype, "float32"), f"{name}_next")
    for held, nodes in ((model.graph.node, [*before.nodes, *inner, *after.nodes]), (model.graph.input, inputs)):
        del held[:]
        held.extend(nodes)
    del model.graph.output[:]
    model.graph.output.extend(outputs)
    model.graph.name = manifest.name
    strip(model)
    set_manifest(model, manifest)
    return model


def _command(chain: _Chain, wiring: Wiring, fitting: Fitting) -> onnx.ValueInfoProto:
    """Convert the network's output to a command, or to the index of an action."""
    output, size = wiring.output, fitting.action.size
    value = INNER + output.name
    if wiring.meaning == "command":
        value = chain.cast(chain.shaped(value, output.shape, (1, size)), output.dtype, "float32")
        for operator, row in zip(("Mul", "Add"), fitting.scaling() or (), strict=False):
            value = chain.add(operator, [value, chain.constant(row[None])])
        if fitting.description.clip and isinstance(fitting.action, Kinematics):
            value = _clipped(chain, value, fitting.action)
        chain.end(value, "command")
        return _tensor("command", (1, size))
    scores = wiring.meaning == "scores"
    value = chain.shaped(value, output.shape, (1, fitting.choices()) if scores else (1,))
    index = chain.add("ArgMax", [value], axis=1, keepdims=0) if scores else chain.cast(value, output.dtype, "int64")
    commands = fitting.commands()
    if commands is None:
        chain.end(index, "action")
        return _tensor("action", (1,), onnx.TensorProto.INT64)
    command = chain.add("Gather", [chain.constant(commands), index])
    if scores:  # with NaN among the scores, the maximum is undefined
        spoiled = chain.add("ReduceSum", [_not_finite(chain, value), chain.constant(np.array([1]))])
        command = chain.add("Add", [command, chain.cast(spoiled, output.dtype, "float32")])
    chain.end(command, "command")
    return _tensor("command", (1, size))


def _clipped(chain: _Chain, value: str, action: Kinematics) -> str:
    """A command clipped to the limits; infinity becomes NaN, not a limit."""
    held = chain.add("Max", [value, chain.constant(action.low[None])])
    held = chain.add("Min", [held, chain.constant(action.high[None])])
    return chain.add("Add", [held, _not_finite(chain, value)])


def _not_finite(chain: _Chain, value: str) -> str:
    """0 for finite numbers, NaN for infinity and NaN."""
    return chain.add("Sub", [value, value])


class _Chain:
    """A sequence of nodes; their constants are added to the graph."""

    def __init__(self, graph: onnx.GraphProto, name: str) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self._graph, self._name = graph, name

    def add(self, operator: str, values: list[str], **attributes: int) -> str:
        """Append an operator; return the name of its result."""
        name = f"{self._name}/{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, values, [name], **attributes))
        return name

    def constant(self, array: np.ndarray) -> str:
        """Add a constant; return its name."""
        name = f"{self._name}/constant_{len(self._graph.initializer)}"
        self._graph.initializer.append(numpy_helper.from_array(array, name))
        return name

    def shaped(self, value: str, shape: Sequence[Size] | None, wanted: tuple[int, ...]) -> str:
        """Reshape the value if necessary."""
        if shape == wanted:
            return value
        return self.add("Reshape", [value, self.constant(np.array(wanted, np.int64))])

    def cast(self, value: str, dtype: str, wanted: str) -> str:
        """Cast the value if necessary."""
        to = helper.np_dtype_to_tensor_dtype(np.dtype(wanted))
        return value if dtype == wanted else self.add("Cast", [value], to=to)

    def end(self, value: str, name: str) -> None:
        """Give the value its name."""
        self.nodes.append(helper.make_node("Identity", [value], [name]))


def _tensor(name: str, shape: tuple[int, ...], kind: int = onnx.TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)
