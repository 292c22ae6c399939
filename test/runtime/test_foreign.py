"""ONNX files of other projects: refused as what they are, not by the first of our rules that they break."""

import random
import subprocess
import sys

import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from foreign_networks import ActorCritic, Memory, export, free_batch
from kdmarl_core.contract import KdmarlError
from kdmarl_core.runtime import Policy, read_manifest
from kdmarl_core.runtime.foreign import describe_foreign
from support import write_policy

REMEDY = "say so in a manifest.yaml and make a policy file with 'kdmarl pack' (docs/pack.md)"


def stable_baselines(path, dynamo):
    names = {"input_names": ["observation"], "output_names": ["actions", "values", "log_prob"]}
    export(ActorCritic(), (torch.zeros(1, 43),), path, dynamo, opset_version=18 if dynamo else 14, **names)
    return ["takes 'observation', float32 [1, 43] and", "gives 'actions', float32 [1, 2]; 'values', float32 [1, 1];"]


def rsl_rl(path, dynamo):
    actor = nn.Sequential(nn.Linear(48, 128), nn.ELU(), nn.Linear(128, 12))
    names = {"input_names": ["obs"], "output_names": ["actions"]}
    export(actor, (torch.zeros(2, 48),), path, dynamo, **names, **free_batch("obs", dynamo))
    return ["takes 'obs', float32 [batch, 48] and", "gives 'actions', float32 [batch, 12]"]


def recurrent(path, dynamo):
    names = {"input_names": ["obs", "h_in", "c_in"], "output_names": ["actions", "h_out", "c_out"]}
    states = (torch.zeros(1, 1, 32), torch.zeros(1, 1, 32))
    export(Memory(), (torch.zeros(1, 45), *states), path, dynamo, **names)
    return ["takes 'obs', float32 [1, 45]; 'h_in', float32 [1, 1, 32]; 'c_in',", "gives 'actions', float32 [1, 12]; 'h"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dynamo", [False, True], ids=["old exporter", "new exporter"])
@pytest.mark.parametrize("write", [stable_baselines, rsl_rl, recurrent])
def test_networks_of_other_projects_are_described(tmp_path, write, dynamo):
    path = tmp_path / "actor.onnx"
    expected = write(path, dynamo)
    for read in (Policy.load, read_manifest):
        with pytest.raises(KdmarlError) as refused:
            read(path)
        sentence = str(refused.value)
        assert sentence.startswith(f"{path}: has no kdmarl manifest, so it is not a policy file but another ONNX")
        assert "(made by pytorch)" in sentence
        assert all(words in sentence for words in expected), sentence
        assert sentence.endswith(REMEDY)
        assert "another file" not in sentence


@pytest.mark.filterwarnings("ignore")
def test_weights_beside_the_file(tmp_path):
    path = tmp_path / "actor.onnx"
    torch.onnx.export(
        nn.Linear(48, 12), (torch.zeros(1, 48),), str(path), dynamo=True, external_data=True, verbose=False
    )
    if not (tmp_path / "actor.onnx.data").exists():  # the exporter keeps small ones inside
        onnx.save(onnx.load(path), path, save_as_external_data=True, location="actor.onnx.data", size_threshold=0)
    with pytest.raises(KdmarlError, match="; its weights are in another file, 'actor.onnx.data'; say so in a man"):
        Policy.load(path)


@pytest.mark.filterwarnings("ignore")
def test_commands_say_the_same(tmp_path):
    expected = rsl_rl(tmp_path / "actor.onnx", dynamo=False)
    commands = (["inspect", tmp_path / "actor.onnx"], 2), (["doctor", "--models", tmp_path], 1)
    for arguments, code in commands:
        command = [sys.executable, "-m", "kdmarl_core.cli", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60)
        said = " ".join((done.stdout + done.stderr).split())
        assert done.returncode == code, said
        assert all(words in said for words in expected), said
        assert REMEDY in said


def broken(model):
    model.graph.node[0].op_type = "Loop"


def test_what_has_a_manifest_is_refused_for_its_fault(tmp_path):
    path = write_policy(tmp_path / "p.onnx", edit=broken)
    assert describe_foreign(path.read_bytes()) is None
    with pytest.raises(KdmarlError, match="'Loop' is not allowed in a policy"):
        Policy.load(path)


def model_of(inputs, outputs=None, weights=()):
    outputs = outputs or [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])]
    graph = helper.make_graph([], "foreign", inputs, outputs, weights)
    return helper.make_model(graph, producer_name="x\n\x1b[31m" * 100).SerializeToString()


def test_nothing_a_file_says_is_long_or_does_anything_to_a_terminal(tmp_path):
    names = ["\x1b[2J" + "long" * 1000 + str(index) for index in range(2000)]
    data = model_of([helper.make_tensor_value_info(name, 99, ["n" * 100] * 20) for name in names])
    path = tmp_path / "long.onnx"
    path.write_bytes(data)
    with pytest.raises(KdmarlError, match="; and 1994 more and gives 'y', float32") as refused:
        Policy.load(path)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 4000


def test_old_files_list_their_weights_among_the_inputs():
    weight = numpy_helper.from_array(torch.zeros(2, 2).numpy(), "w")
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 2]) for name in ("x", "w")]
    assert "takes 'x', float32 [2, 2] and gives 'y', float32 [1], and" in describe_foreign(
        model_of(inputs, (), [weight])
    )


def test_inputs_that_are_no_tensors():
    inputs = [
        helper.make_tensor_sequence_value_info("s", TensorProto.FLOAT, None),
        helper.make_tensor_value_info("t", TensorProto.STRING, None),
        helper.make_tensor_value_info("u", TensorProto.INT64, [None]),
    ]
    assert "takes 's', no tensor; 't', text []; 'u', int64 [?] and" in describe_foreign(model_of(inputs))


def test_spoiled_bytes_end_in_a_description_or_in_none(tmp_path):
    whole = model_of([helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3])])
    draw = random.Random(0)
    described = 0
    for _ in range(3000):
        data = bytearray(whole)
        for _ in range(draw.randint(1, 4)):
            data[draw.randrange(len(data))] = draw.randrange(256)
        described += describe_foreign(bytes(data[: draw.randint(1, len(data))])) is not None
    assert 0 < described < 3000
    assert describe_foreign(b"\x3a\x02" * 500_000) is None
    assert describe_foreign(b"") is None
