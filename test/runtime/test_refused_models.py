"""Policy files that are refused before any engine sees them, and large ones that are not."""

import json
import re
import resource
import time
from itertools import pairwise

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from kdmarl_core.contract import KdmarlError
from kdmarl_core.runtime import Policy
from support import write_policy


def rename_output(model):
    model.graph.output[0].name = "cmd"
    model.graph.node[-1].output[0] = "cmd"


def free_batch(model):
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"


def extra_input(model):
    model.graph.input.append(helper.make_tensor_value_info("mood", TensorProto.FLOAT, [1]))


def external_data(model):
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def control_flow(model):
    branch = helper.make_graph([], "branch", [], [])
    model.graph.node.append(helper.make_node("If", ["c"], ["d"], then_branch=branch, else_branch=branch))


def allowed_operator_with_subgraph(model):
    model.graph.node[0].attribute.append(helper.make_attribute("body", helper.make_graph([], "body", [], [])))


def local_function(model):
    model.functions.append(helper.make_function("", "Tanh", ["x"], ["y"], [], [helper.make_opsetid("", 17)]))


def huge_constant(model):
    tensor = numpy_helper.from_array(np.zeros(3, np.float32), "huge")
    tensor.dims[:] = [2**31, 2**31]
    model.graph.initializer.append(tensor)


def short_tensor(model):
    model.graph.initializer[0].raw_data = model.graph.initializer[0].raw_data[:-4]


def damaged_weights(model):
    tensor = model.graph.initializer[0]
    weights = numpy_helper.to_array(tensor).copy()
    weights[0, 0] = np.nan
    tensor.CopyFrom(numpy_helper.from_array(weights, tensor.name))


def inconsistent_graph(model):
    model.graph.node[1].input[0] = "nowhere"


def append_nodes(*nodes):
    """Operations on values that already are in the graph, or on the initializers ``column`` and ``row`` of 4096."""

    def edit(model):
        for name, shape in (("column", (4096, 1)), ("row", (1, 4096))):
            model.graph.initializer.append(numpy_helper.from_array(np.ones(shape, np.float32), name))
        for operator, inputs, output, attributes in nodes:
            model.graph.node.append(helper.make_node(operator, inputs, [output], **attributes))

    return edit


def doubling(operator, **attributes):
    """A value that is joined to itself, again and again."""
    names = ["raw", *(f"double_{index}" for index in range(40))]
    return append_nodes(*((operator, [old, old], new, attributes) for old, new in pairwise(names)))


def wide_gather(model):
    indices = np.zeros((2048, 2048), np.int8)  # cast, else the file itself were too large
    model.graph.initializer.append(numpy_helper.from_array(indices, "indices"))
    model.graph.node.append(helper.make_node("Cast", ["indices"], ["places"], to=TensorProto.INT64))
    model.graph.node.append(helper.make_node("Gather", ["weights", "places"], ["wide"]))


def square_powers(model):
    """Each product has the size of its factors, and takes 64 million multiply-adds."""
    square = numpy_helper.from_array(np.ones((400, 400), np.float32), "square_0")
    model.graph.initializer.append(square)
    for index in range(100):
        factors = [f"square_{index}", "square_0"]
        model.graph.node.append(helper.make_node("MatMul", factors, [f"square_{index + 1}"]))


def claimed_output(model):
    """Says that its command is of the right size, and it is not."""
    append_nodes(("Mul", ["column", "row"], "square", {}))(model)
    model.graph.node.append(helper.make_node("Add", ["square", "square"], ["huge"]))
    model.graph.node[-3].output[0] = "within"
    model.graph.node.append(helper.make_node("Identity", ["huge"], ["command"]))


def large_state(model):
    manifest = json.loads(model.metadata_props[0].value)
    manifest["recurrent"] = [{"name": "vast", "shape": [4096] * 4}]
    model.metadata_props[0].value = json.dumps(manifest)
    model.graph.input.append(helper.make_tensor_value_info("vast", TensorProto.FLOAT, [4096] * 4))
    model.graph.output.append(helper.make_tensor_value_info("vast_next", TensorProto.FLOAT, [4096] * 4))
    model.graph.node.append(helper.make_node("Identity", ["vast"], ["vast_next"]))


def rank_from_a_value(model):
    append_nodes(("Cast", ["raw"], "whole", {"to": TensorProto.INT64}), ("Squeeze", ["whole"], "axes", {}))(model)
    model.graph.node.append(helper.make_node("Unsqueeze", ["column", "axes"], ["any"]))


def set_opset(version):
    def edit(model):
        model.opset_import[0].version = version

    return edit


BROKEN = {
    "opset too new": (set_opset(99), "opset 99, 13 to 23"),
    "opset too old": (set_opset(9), "opset 9"),
    "other domain": (lambda m: m.opset_import.append(helper.make_opsetid("com.evil", 1)), "com.evil"),
    "other domain of a node": (lambda m: setattr(m.graph.node[0], "domain", "com.evil"), "com.evil"),
    "unknown operator": (lambda m: setattr(m.graph.node[0], "op_type", "Loop"), "'Loop' is not allowed"),
    "control flow": (control_flow, "'If' is not allowed"),
    "subgraph": (allowed_operator_with_subgraph, "field 6"),
    "function": (local_function, "field 25"),
    "external data": (external_data, "in another file"),
    "external location": (lambda m: setattr(m.graph.initializer[0], "data_location", 1), "in another file"),
    "sparse tensor": (lambda m: m.graph.sparse_initializer.add(), "field 15"),
    "huge tensor": (huge_constant, "at most"),
    "short tensor": (short_tensor, "elements"),
    "string tensor": (lambda m: setattr(m.graph.initializer[0], "data_type", 8), "element type 8"),
    "free batch size": (free_batch, "not fixed"),
    "output name": (rename_output, "output 'cmd'"),
    "extra input": (extra_input, "input 'mood'"),
    "no manifest": (lambda m: m.ClearField("metadata_props"), "no kdmarl manifest"),
    "manifest twice": (lambda m: m.metadata_props.append(m.metadata_props[0]), "stands twice"),
    "two initializers of a name": (lambda m: m.graph.initializer.append(m.graph.initializer[0]), "of one name"),
    "claims about values": (lambda m: m.graph.value_info.add(name="raw"), "field 13"),
    "an operator that loops": (lambda m: setattr(m.graph.node[0], "op_type", "GRU"), "'GRU' is not allowed"),
    "an input left out": (lambda m: m.graph.node[-1].input.append(""), "'Max' leaves out a value"),
    "an output left out": (lambda m: m.graph.node[0].output.append(""), "'MatMul' leaves out a value"),
    "too many nodes": (append_nodes(*[("Relu", ["raw"], f"more_{i}", {}) for i in range(1000)]), "at most 1000"),
    "no graph": (lambda m: m.ClearField("graph"), "no graph"),
    "inconsistent graph": (inconsistent_graph, "cannot be run"),
    "text": (append_nodes(("Cast", ["raw"], "text", {"to": TensorProto.STRING})), "'text' is text"),
    "damaged weights": (damaged_weights, "weights are damaged"),
}


HUNGRY = {
    "square by broadcasting": append_nodes(("Add", ["column", "row"], "square", {})),
    "square by a product": append_nodes(("MatMul", ["column", "row"], "square", {})),
    "doubled by concat": doubling("Concat", axis=0),
    "doubled within": doubling("Concat", axis=1),
    "wide gather": wide_gather,
    "products of squares": square_powers,
    "claimed output": claimed_output,
    "large state": large_state,
    "size from a value": append_nodes(
        ("Cast", ["raw"], "sizes", {"to": TensorProto.INT64}),
        ("Squeeze", ["sizes"], "flat", {}),
        ("Reshape", ["row", "flat"], "any", {}),
    ),
    "rank from a value": rank_from_a_value,
}


@pytest.mark.parametrize("what", HUNGRY)
def test_refuses_a_small_file_that_asks_for_much(tmp_path, what):
    path = write_policy(tmp_path / "p.onnx", edit=HUNGRY[what])
    memory, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(KdmarlError, match=r"takes more than \d+ operations|depends on computed values"):
        Policy.load(path)
    assert time.process_time() - started < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 200_000  # [KiB]


def test_refuses_a_shape_without_end_at_once(tmp_path):
    """A driving robot waits meanwhile."""

    def edit(model):
        model.graph.initializer.add(name="endless", data_type=TensorProto.FLOAT, dims=[2**62] * 49_000)

    path = write_policy(tmp_path / "p.onnx", edit=edit)
    started = time.process_time()
    with pytest.raises(KdmarlError, match="at most 8 dimensions and 4194304 elements"):
        Policy.load(path)
    assert time.process_time() - started < 3


def test_a_large_policy_is_no_hostile_one(tmp_path):
    """A million weights: hundreds of times those of a student."""

    def edit(model):
        model.graph.initializer.append(numpy_helper.from_array(np.ones((2, 500_000), np.float32), "wide"))
        model.graph.initializer.append(numpy_helper.from_array(np.ones((500_000, 2), np.float32), "narrow"))
        model.graph.node.append(helper.make_node("MatMul", ["raw", "wide"], ["hidden"]))
        model.graph.node.append(helper.make_node("MatMul", ["hidden", "narrow"], ["unused"]))

    Policy.load(write_policy(tmp_path / "p.onnx", edit=edit))


@pytest.mark.parametrize("what", BROKEN)
def test_refuses_model(tmp_path, what, capfd):
    edit, reason = BROKEN[what]
    path = write_policy(tmp_path / "p.onnx", edit=edit)
    with pytest.raises(KdmarlError, match=re.escape(reason)) as refused:
        Policy.load(path)
    assert str(refused.value).startswith(str(path))
    assert "\n" not in str(refused.value)
    assert capfd.readouterr() == ("", "")


def test_names_that_are_no_text_end_in_a_sentence_too(tmp_path, capfd):
    """The engine cannot tell its own errors then, and prints."""

    def edit(model):
        inconsistent_graph(model)
        for node in model.graph.node:
            node.name = "zzzz"

    path = write_policy(tmp_path / "p.onnx", edit=edit)
    path.write_bytes(path.read_bytes().replace(b"zzzz", b"z\xff\xfez"))
    with pytest.raises(KdmarlError, match="cannot be run"):
        Policy.load(path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"control_period": 0}, r"\$.control_period"),
        ({"control_perriod": 0.1}, "did you mean 'control_period'"),
        ({"schema_version": 2}, "schema_version is 2"),
        ({"recurrent": [{"name": "memory", "shape": [1, 4]}]}, "input 'memory' is missing"),
        ({"recurrent": [{"name": "observation", "shape": [1, 4]}]}, "a name that is taken"),
        ({"observation": [{"term": "velocity"}]}, r"input 'observation' is float32 \[1, 43\].*\[1, 2\]"),
        ({"action": {"kind": "discrete", "n": 3}}, "output 'action' is missing"),
    ],
)
def test_refuses_manifest(tmp_path, change, reason):
    path = write_policy(tmp_path / "p.onnx", edit_manifest=lambda data: data.update(change))
    with pytest.raises(KdmarlError, match=reason):
        Policy.load(path)
