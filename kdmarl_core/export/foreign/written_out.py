"""Replace operators that a policy file may not contain by allowed ones: LSTM, GRU and log-sum-exp."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from kdmarl_core.contract import KdmarlError

USUAL_ACTIVATIONS = {"LSTM": [b"Sigmoid", b"Tanh", b"Tanh"], "GRU": [b"Sigmoid", b"Tanh"]}
GATES = {"LSTM": 4, "GRU": 3}

AXES_ARE_INPUTS = 18
"""First opset in which ReduceMax and ReduceLogSumExp take their axes as an input, as ReduceSum does since 13."""


def write_out(model: onnx.ModelProto, source: str) -> None:
    """Replace every LSTM, GRU and ReduceLogSumExp operator of a graph by its equations, in place.

    Args:
        model: of opset 13 or newer, for one step of one robot; weights are constants.
        source: names the network in errors.

    Raises:
        KdmarlError: a cell runs backwards, starts from zero, or has other options than PyTorch's.
    """
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for index, node in enumerate(model.graph.node):
        if node.op_type not in _WRITTEN_OUT:
            nodes.append(node)
            continue
        written = _WRITTEN_OUT[node.op_type](node, constants, f"written_out_{index}", source)
        written.write(model.opset_import[0].version)
        nodes += written.nodes
        model.graph.initializer.extend(written.constants)
    del model.graph.node[:]
    model.graph.node.extend(nodes)


class _Equations:
    """``nodes`` that compute an operator's outputs under their names, and the ``constants`` that they need."""

    def __init__(self, node: onnx.NodeProto, known: dict[str, onnx.TensorProto], name: str, source: str) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._node, self._known, self._name, self._source = node, known, name, source
        self._given = [*node.input, *[""] * (8 - len(node.input))]
        self._said = {each.name: helper.get_attribute_value(each) for each in node.attribute}

    def write(self, opset: int) -> None:
        """Fill ``nodes`` and ``constants``.

        Raises:
            KdmarlError: as :func:`write_out`.
        """
        raise NotImplementedError

    def _add(self, operator: str, *values: str, **attributes: object) -> str:
        made = f"{self._name}/{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, values, [made], **attributes))
        return made

    def _constant(self, array: np.ndarray) -> str:
        name = f"{self._name}/constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name


class _LogSumExp(_Equations):
    """Used by Stable-Baselines3's policies with discrete actions."""

    def write(self, opset: int) -> None:
        value, axes = self._given[0], self._said.get("axes")
        if self._given[1] in self._known:
            axes = numpy_helper.to_array(self._known[self._given[1]]).tolist()
        listed = [self._constant(np.array(axes, np.int64))] if axes else []
        if opset >= AXES_ARE_INPUTS:
            largest = self._add("ReduceMax", value, *listed, keepdims=1)
        else:
            largest = self._add("ReduceMax", value, keepdims=1, **({"axes": axes} if axes else {}))
        total = self._add("ReduceSum", self._add("Exp", self._add("Sub", value, largest)), *listed, keepdims=1)
        logarithm = self._add("Add", self._add("Log", total), largest)
        if self._said.get("keepdims", 1):
            self.nodes[-1].output[0] = self._node.output[0]
        else:
            self.nodes.append(helper.make_node("Squeeze", [logarithm, *listed], self._node.output))


class _Cell(_Equations):
    """One step of an LSTM or a GRU."""

    def write(self, opset: int) -> None:
        self._size = self._check()
        {"LSTM": self._lstm, "GRU": self._gru}[self._node.op_type]()

    def _check(self) -> int:
        """Check that the cell has PyTorch's options; return its width."""
        said, kind = self._said, self._node.op_type
        states = self._given[5:7] if kind == "LSTM" else self._given[5:6]
        unusual = [
            said.get("direction", b"forward") != b"forward",
            said.get("activations") not in (None, [], USUAL_ACTIVATIONS[kind]),
            said.get("clip") is not None or bool(said.get("input_forget")) or bool(said.get("layout")),
            kind == "LSTM" and bool(self._given[7]),
            kind == "GRU" and not said.get("linear_before_reset"),
            any(name not in self._known for name in self._given[1:3]),
        ]
        if any(unusual):
            raise KdmarlError(f"{self._source}: its {kind} is not PyTorch's; export a network with an nn.{kind}")
        if any(not name or name in self._known for name in states):
            raise KdmarlError(
                f"{self._source}: its {kind} starts every run from the same state, so it has no memory; export its "
                "state as input and output, and name both under recurrent"
            )
        return int(self._known[self._given[2]].dims[-1])

    def _lstm(self) -> None:
        """The gates' rows are in the order input, output, forget, cell (ONNX's definition of LSTM)."""
        hidden, memory = self._flat(self._given[5]), self._flat(self._given[6])
        gates = self._product(hidden, self._given[2], self._product(self._step_input(), self._given[1], self._bias(0)))
        gates = self._add("Add", gates, self._bias(1))
        entry, output, forget, candidate = self._split(gates)
        kept = self._add("Mul", self._add("Sigmoid", forget), memory)
        added = self._add("Mul", self._add("Sigmoid", entry), self._add("Tanh", candidate))
        following = self._add("Add", kept, added)
        shown = self._add("Mul", self._add("Sigmoid", output), self._add("Tanh", following))
        self._give([shown, shown, following])

    def _gru(self) -> None:
        """The gates' rows are in the order update, reset, hidden (ONNX's definition of GRU)."""
        hidden = self._flat(self._given[5])
        seen = self._split(self._product(self._step_input(), self._given[1], self._bias(0)))
        remembered = self._split(self._product(hidden, self._given[2], self._bias(1)))
        update = self._add("Sigmoid", self._add("Add", seen[0], remembered[0]))
        reset = self._add("Sigmoid", self._add("Add", seen[1], remembered[1]))
        fresh = self._add("Tanh", self._add("Add", seen[2], self._add("Mul", reset, remembered[2])))
        # (1 − update) · fresh + update · hidden
        change = self._add("Mul", update, self._add("Sub", hidden, fresh))
        following = self._add("Add", fresh, change)
        self._give([following, following])

    def _give(self, values: list[str]) -> None:
        """Name ``values``, (1, H) each, as the cell's outputs: all steps, then the states."""
        shapes = ([1, 1, 1, -1], [1, 1, -1], [1, 1, -1])
        for output, value, shape in zip(self._node.output, values, shapes, strict=False):  # the last may be missing
            if output:
                sizes = self._constant(np.array(shape, np.int64))
                self.nodes.append(helper.make_node("Reshape", [value, sizes], [output]))

    def _step_input(self) -> str:
        return self._flat(self._given[0], int(self._known[self._given[1]].dims[-1]))

    def _flat(self, value: str, width: int | None = None) -> str:
        """A value of one step, (1, ``width``); of the cell's width when None."""
        return self._add("Reshape", value, self._constant(np.array([1, width or self._size], np.int64)))

    def _product(self, value: str, weight: str, bias: str) -> str:
        """``value`` times the transposed weight, plus ``bias``."""
        matrix = self._constant(numpy_helper.to_array(self._known[weight])[0])
        return self._add("Gemm", value, matrix, bias, transB=1)

    def _bias(self, half: int) -> str:
        """Of the input (0) or of the state (1), (gates · H,)."""
        count = GATES[self._node.op_type] * self._size
        whole = self._given[3]
        if not whole:
            return self._constant(np.zeros(count, numpy_helper.to_array(self._known[self._given[1]]).dtype))
        return self._constant(numpy_helper.to_array(self._known[whole])[0, half * count : (half + 1) * count])

    def _split(self, gates: str) -> list[str]:
        count = GATES[self._node.op_type]
        sizes = self._constant(np.full(count, self._size, np.int64))
        parts = [f"{self._name}/{len(self.nodes)}_{index}" for index in range(count)]
        self.nodes.append(helper.make_node("Split", [gates, sizes], parts, axis=1))
        return parts


_WRITTEN_OUT: dict[str, type[_Equations]] = {"LSTM": _Cell, "GRU": _Cell, "ReduceLogSumExp": _LogSumExp}
