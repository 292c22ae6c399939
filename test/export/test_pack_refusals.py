"""What cannot be packed is refused in one sentence, and nothing is written."""

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from foreign_networks import LISTED, SIZE, describe, export, linear, two_outputs, weights
from kdmarl_core.contract import KdmarlError
from kdmarl_core.export.pack import pack
from support import ROBOT_TYPES, write_policy

pytestmark = pytest.mark.filterwarnings("ignore")


def refused(network, sentence, without=(), **changes):
    """See that a network is refused, and that nothing is written."""
    description = describe(network.parent, without, **changes)
    before = sorted(network.parent.rglob("*"))
    with pytest.raises(KdmarlError, match=sentence) as error:
        pack(network, description, ROBOT_TYPES, network.parent / "policy.onnx")
    assert "\n" not in str(error.value)
    assert sorted(network.parent.rglob("*")) == before


def test_weights_that_are_not_there(tmp_path):
    path = linear(tmp_path / "actor.onnx", weights())
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="actor.data", size_threshold=0)
    (tmp_path / "actor.data").unlink()
    refused(path, "actor.onnx: its weights are in another file: .*actor.data: no such file")


def test_weights_of_a_file_elsewhere_are_not_read(tmp_path):
    path = linear(tmp_path / "actor.onnx", weights())
    model = onnx.load(path)
    onnx.external_data_helper.set_external_data(model.graph.initializer[0], "../secret")
    model.graph.initializer[0].ClearField("raw_data")
    path.write_bytes(model.SerializeToString())
    refused(path, r"its weights are in '../secret'; save them in a file in its own folder")


def test_an_opset_of_the_future(tmp_path):
    refused(linear(tmp_path / "actor.onnx", weights(), opset=99), r"cannot be run by ONNX Runtime .*; export it again")


def test_a_network_that_fails_leaves_the_policy_file_as_it_was(tmp_path):
    old = write_policy(tmp_path / "policy.onnx").read_bytes()
    refused(linear(tmp_path / "actor.onnx", 100 * weights()), "set 'clip: true'", without=["clip"])
    assert (tmp_path / "policy.onnx").read_bytes() == old


def test_the_network_itself_is_not_written_over(tmp_path):
    path = linear(tmp_path / "policy.onnx", weights())
    refused(path, "is a source of the policy file and would be overwritten; give another --output")


DISTURBED = [
    (
        helper.make_node("RandomNormalLike", ["raw"], ["n"]),
        "operator RandomNormalLike, which a policy file may not contain",
    ),
    (helper.make_node("Sin", ["raw"], ["n"], domain="com.some"), "custom operator 'Sin' of domain 'com.some'"),
    (helper.make_node("Log", ["raw"], ["n"]), r"gives \[-inf, -inf\] for an all-zero observation; its weights or"),
    (helper.make_node("Reciprocal", ["tiny"], ["n"]), r"gives \[.*\] for random observation \d+ within the sensors'"),
]


@pytest.mark.parametrize(("node", "sentence"), DISTURBED, ids=lambda value: getattr(value, "op_type", ""))
def test_graphs_that_cannot_be_packed(tmp_path, node, sentence):
    nodes = [node, helper.make_node("Add", ["raw", "n"], ["actions"])]
    if node.op_type == "Reciprocal":  # infinite where raw is far from 0
        tiny = [helper.make_node("Abs", ["raw"], ["size"]), helper.make_node("Less", ["size", "half"], ["near"])]
        nodes = [*tiny, helper.make_node("Cast", ["near"], ["tiny"], to=TensorProto.FLOAT), *nodes]
    constants = [numpy_helper.from_array(np.float32([[0.5, 0.5]]), "half")]
    imports = [helper.make_opsetid("com.some", 1)] if node.domain else []
    path = linear(tmp_path / "actor.onnx", weights(), nodes=nodes, constants=constants, imports=imports)
    refused(path, sentence)


def two_inputs(path):
    sizes = {"obs": SIZE, "b": 2}
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, size]) for name, size in sizes.items()]
    return linear(path, weights(), inputs=inputs, nodes=[helper.make_node("Add", ["raw", "b"], ["actions"])])


def forgetful(path):
    class Forgetful(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = nn.LSTM(SIZE, 2)

        def forward(self, observation):
            return self.cell(observation[None])[0][0]

    export(Forgetful(), (torch.zeros(1, SIZE),), path, True)
    return path


MISFITS = {
    "sizes": (
        lambda path: linear(path, weights()[:41], shape=(1, 41)),
        {},
        r"the observation has 36 \(lidar\) \+ 3 \(goal\) \+ 2 \(velocity\) \+ 2 \(previous_action\) = 43 values, "
        r".*actor.onnx takes 41 \('obs', float32 \[1, 41\]\)",
    ),
    "batch": (
        lambda path: linear(path, weights(), shape=(8, SIZE)),
        {},
        r"takes 'obs', float32 \[8, 43\], not one vector",
    ),
    "two inputs": (
        two_inputs,
        {},
        r"takes 'obs', float32 \[1, 43\] and 'b', float32 \[1, 2\], but needs one input for the observation",
    ),
    "two outputs": (two_outputs, {}, r"gives 'mean', float32 \[1, 2\] and 'std', .*; choose one with output_name"),
    "no such output": (two_outputs, {"output_name": "means"}, "has no output 'means', only .*; did you mean 'mean'?"),
    "no such state": (lambda path: linear(path, weights()), {"recurrent": {"h": "h2"}}, "has no input 'h', only 'obs'"),
    "12 joints": (
        lambda path: linear(path, weights(12)),
        {},
        r"gives 'actions', float32 \[1, 12\]; a command has 2 values",
    ),
    "scores": (
        lambda path: linear(path, weights(4)),
        {"output": {"commands": LISTED}, "clip": False},
        r"gives 'actions', float32 \[1, 4\]; for 3 actions it must give an index",
    ),
    "integers": (
        lambda path: linear(path, weights(), dtype=TensorProto.INT32),
        {},
        r"takes 'obs', int32 \[1, 43\], but observations are float32",
    ),
    "beyond": (
        lambda path: linear(path, np.full((SIZE, 2), 0.1)),
        {"output": "physical", "clip": False},
        r"commands -?\d.* to \d.* m/s, .* the limits are -0.3 to 0.8 m/s, -2 to 2 rad/s; set 'clip: true' in",
    ),
    "forgetful": (forgetful, {}, "its LSTM starts every run from the same state, so it has no memory"),
    "zip": (lambda path: torch.save({"a": 1}, path) or path, {}, "is a zip archive, as PyTorch and Stable-Baselines3"),
    "text": (lambda path: path.write_text("# not a network") and path, {}, "is not an ONNX network; give a file"),
    "empty": (lambda path: path.touch() or path, {}, "is not an ONNX network; give a file"),
    "missing": (lambda path: path, {}, "no such file"),
    "policy file": (write_policy, {}, "is a policy file already; use it without packing"),
}


@pytest.mark.parametrize("misfit", MISFITS)
def test_networks_that_do_not_fit(tmp_path, misfit):
    write, changes, sentence = MISFITS[misfit]
    refused(write(tmp_path / "actor.onnx"), sentence, **changes)
