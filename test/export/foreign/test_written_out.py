"""Operators that are written out give what ONNX Runtime's own give."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from kdmarl_core.contract import KdmarlError
from kdmarl_core.export.foreign.written_out import write_out

WIDTH, SIZE = 5, 4


def model(nodes, inputs, outputs, constants=(), opset=17):
    values = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in each.items()]
        for each in (inputs, outputs)
    ]
    graph = helper.make_graph(nodes, "g", *values, [numpy_helper.from_array(v, k) for k, v in dict(constants).items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def run(made, given):
    session = ort.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, given)


def cell(kind, biased=True, **attributes):
    random, gates = np.random.default_rng(0), {"LSTM": 4, "GRU": 3}[kind]
    shapes = {"w": (1, gates * SIZE, WIDTH), "r": (1, gates * SIZE, SIZE), "b": (1, 2 * gates * SIZE)}
    constants = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    states = ["h", "c"][: 2 if kind == "LSTM" else 1]
    nexts = [f"{name}_next" for name in states]
    if not biased:
        constants.pop("b")
    names = ["x", "w", "r", "b" if biased else "", "", *states]
    usual = {"hidden_size": SIZE} | ({"linear_before_reset": 1} if kind == "GRU" else {})
    node = helper.make_node(kind, names, ["y", *nexts], **(usual | attributes))
    state = dict.fromkeys(states, (1, 1, SIZE))
    return model(
        [node],
        {"x": (1, 1, WIDTH)} | state,
        {"y": (1, 1, 1, SIZE)} | dict.fromkeys(nexts, (1, 1, SIZE)),
        constants,
    )


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_cells(kind, biased):
    made = cell(kind, biased)
    random = np.random.default_rng(1)
    given = {
        value.name: random.normal(size=[each.dim_value for each in value.type.tensor_type.shape.dim]).astype(np.float32)
        for value in made.graph.input
    }
    expected = run(made, given)
    write_out(made, "p")
    onnx.checker.check_model(made, full_check=True)
    assert kind not in {node.op_type for node in made.graph.node}
    for one, other in zip(run(made, given), expected, strict=True):
        assert one.shape == other.shape
        assert np.abs(one - other).max() < 1e-6


UNUSUAL = {
    "backwards": ("LSTM", {"direction": "reverse"}),
    "clipped": ("LSTM", {"clip": 1.0}),
    "coupled": ("LSTM", {"input_forget": 1}),
    "other activations": ("LSTM", {"activations": ["HardSigmoid", "Tanh", "Tanh"]}),
    "reset first": ("GRU", {"linear_before_reset": 0}),
}


@pytest.mark.parametrize("unusual", UNUSUAL)
def test_cells_that_pytorch_does_not_have_are_refused(unusual):
    kind, attributes = UNUSUAL[unusual]
    with pytest.raises(KdmarlError, match=f"p.onnx: its {kind} is not PyTorch's; export a network with an nn.{kind}"):
        write_out(cell(kind, **attributes), "p.onnx")


@pytest.mark.parametrize("opset", [13, 17, 18, 23])
@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("axes", [None, [-1], [0, 2]])
def test_logarithms_of_sums(opset, keepdims, axes):
    shape = (2, 3, 4)
    inputs, constants, attributes = ["x"], {}, {"keepdims": keepdims}
    if axes and opset >= 18:
        inputs, constants = ["x", "axes"], {"axes": np.array(axes, np.int64)}
    elif axes:
        attributes["axes"] = axes
    node = helper.make_node("ReduceLogSumExp", inputs, ["y"], **attributes)
    made = model([node], {"x": shape}, {"y": None}, constants, opset)
    given = {"x": 50 * np.random.default_rng(0).normal(size=shape).astype(np.float32)}
    (expected,) = run(made, given)
    write_out(made, "p")
    (found,) = run(made, given)
    assert found.shape == expected.shape
    assert np.allclose(found, expected, rtol=1e-6)
