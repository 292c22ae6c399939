"""Networks of other projects become policy files that act as the networks do."""

import hashlib
import shutil

import msgspec
import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

from foreign_networks import (
    LISTED,
    SIZE,
    ActorCritic,
    Memory,
    describe,
    export,
    free_batch,
    linear,
    two_outputs,
    weights,
)
from kdmarl_core.contract import Discrete, KdmarlError, load_robot_types
from kdmarl_core.contract.checksums import read_sums
from kdmarl_core.export.foreign.samples import random_observations
from kdmarl_core.export.pack import pack
from kdmarl_core.runtime import Controller, Policy
from support import REPOSITORY, ROBOT_TYPES, write_policy

pytestmark = pytest.mark.filterwarnings("ignore")

SCOUT = load_robot_types(ROBOT_TYPES)["scout"]
LOW, HIGH = SCOUT.action.low, SCOUT.action.high
EXPORTERS = pytest.mark.parametrize("dynamo", [False, True], ids=["old exporter", "new exporter"])


def packed(network, without=(), **changes):
    """The policy that becomes of a network in a file."""
    target = network.parent / "models" / "policy.onnx"
    pack(network, describe(network.parent, without, **changes), ROBOT_TYPES, target)
    return Policy.load(target)


def observations(policy, count=100):
    manifest = policy.manifest
    return random_observations(manifest.observation, manifest.action, count, np.random.default_rng(7))


def commands(policy, rows):
    policy.reset()
    return np.stack([policy(row) for row in rows])


def scaled(outputs):
    """As Stable-Baselines3 and gymnasium's RescaleAction do it."""
    return LOW + 0.5 * (np.clip(outputs, -1, 1) + 1) * (HIGH - LOW)


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@EXPORTERS
@pytest.mark.parametrize("free", [False, True], ids=["batch of 1", "any batch"])
def test_actor_critics(tmp_path, dynamo, free):
    torch.manual_seed(0)
    network, path = ActorCritic(), tmp_path / "actor.onnx"
    options = free_batch("obs", dynamo) if free else {}
    names = {"input_names": ["obs"], "output_names": ["actions", "values", "log_prob"]}
    export(network, (torch.zeros(2 if free else 1, SIZE),), path, dynamo, **names, **options)
    policy = packed(path)
    rows = observations(policy)
    expected = scaled(network(torch.from_numpy(rows))[0].detach().numpy())
    assert np.abs(commands(policy, rows) - expected).max() < 1e-5
    assert expected.std(0).min() > 0.01
    assert policy.manifest.name == "actor"
    assert policy.manifest.action == SCOUT.action
    Controller(policy, "scout", SCOUT)


@EXPORTERS
@pytest.mark.parametrize("cell", [nn.LSTM, nn.GRU])
def test_memory(tmp_path, dynamo, cell):
    torch.manual_seed(0)
    network, path = Memory(SIZE, 2, cell), tmp_path / "actor.onnx"
    states = ["h", "c"][: 2 if cell is nn.LSTM else 1]
    zeros = tuple(torch.zeros(1, 1, 32) for _ in states)
    names = {"input_names": ["obs", *(f"{name}_in" for name in states)]}
    names["output_names"] = ["actions", *(f"{name}_out" for name in states)]
    export(network, (torch.zeros(1, SIZE), *zeros), path, dynamo, **names)
    policy = packed(path, recurrent={f"{name}_in": f"{name}_out" for name in states}, output={"scale": [3.0, 3.0]})
    assert [state.shape for state in policy.manifest.recurrent] == [[1, 1, 32]] * len(states)
    rows, expected, state = observations(policy, 30), [], zeros
    for row in torch.from_numpy(rows):
        actions, *state = network(row[None], *state)
        expected.append(3 * actions[0].detach().numpy())
    given = commands(policy, rows)
    assert np.abs(given - np.clip(expected, LOW, HIGH)).max() < 1e-5
    assert np.abs(policy(rows[0]) - given[0]).max() > 1e-4  # it remembers


@EXPORTERS
def test_one_vector_without_a_batch_in_double_precision(tmp_path, dynamo):
    torch.manual_seed(0)
    network, path = nn.Sequential(nn.Linear(SIZE, 16), nn.Tanh(), nn.Linear(16, 2)).double(), tmp_path / "actor.onnx"
    export(network, (torch.zeros(SIZE, dtype=torch.float64),), path, dynamo)
    assert onnx.load(path).graph.input[0].type.tensor_type.elem_type == TensorProto.DOUBLE
    policy = packed(path)
    rows = observations(policy)
    expected = scaled(network(torch.from_numpy(rows).double()).detach().numpy())
    assert np.abs(commands(policy, rows) - expected).max() < 1e-5


@EXPORTERS
def test_weights_of_another_file_come_inside(tmp_path, dynamo):
    network, path = nn.Linear(SIZE, 2), tmp_path / "actor.onnx"
    export(network, (torch.zeros(1, SIZE),), path, dynamo)
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="actor.data", size_threshold=0)
    files = packed(path).manifest.provenance.packed.files
    assert files == {name: sha256(tmp_path / name) for name in ("actor.onnx", "actor.data")}
    (tmp_path / "actor.data").unlink()
    policy = Policy.load(tmp_path / "models/policy.onnx")
    rows = observations(policy)
    expected = scaled(network(torch.from_numpy(rows)).detach().numpy())
    assert np.abs(commands(policy, rows) - expected).max() < 1e-5


@pytest.mark.parametrize("opset", [9, 11, 12, 13, 17, 20])
def test_opsets_of_the_old_exporter(tmp_path, opset):
    torch.manual_seed(0)
    network, path = ActorCritic(), tmp_path / "actor.onnx"
    names = {"input_names": ["obs"], "output_names": ["actions", "values", "log_prob"]}
    export(network, (torch.zeros(1, SIZE),), path, False, opset_version=opset, **names, **free_batch("obs", False))
    policy = packed(path)
    rows = observations(policy)
    expected = scaled(network(torch.from_numpy(rows))[0].detach().numpy())
    assert np.abs(commands(policy, rows) - expected).max() < 1e-5


@pytest.mark.parametrize("opset", [9, 11])
def test_memory_in_old_opsets(tmp_path, opset):
    torch.manual_seed(0)
    network, path = Memory(SIZE, 2, nn.GRU), tmp_path / "actor.onnx"
    names = {"input_names": ["obs", "h_in"], "output_names": ["actions", "h_out"]}
    export(network, (torch.zeros(1, SIZE), torch.zeros(1, 1, 32)), path, False, opset_version=opset, **names)
    policy = packed(path, recurrent={"h_in": "h_out"})
    row = observations(policy, 1)
    expected = scaled(network(torch.from_numpy(row), torch.zeros(1, 1, 32))[0].detach().numpy())
    assert np.abs(commands(policy, row) - expected).max() < 1e-5


def test_newer_opsets_and_files(tmp_path):
    path = linear(tmp_path / "actor.onnx", weights(), opset=25, ir=12)
    assert np.isfinite(packed(path)(np.zeros(SIZE, np.float32))).all()
    assert onnx.load(tmp_path / "models/policy.onnx").opset_import[0].version == 23


def test_files_of_old_that_list_their_weights_among_the_inputs(tmp_path):
    inputs = [
        helper.make_tensor_value_info("obs", TensorProto.FLOAT, ["N", SIZE]),
        helper.make_tensor_value_info("weights", TensorProto.FLOAT, [SIZE, 2]),
    ]
    path = linear(tmp_path / "actor.onnx", weights(), inputs=inputs, opset=9, ir=3)
    policy = packed(path)
    rows = observations(policy)
    assert np.abs(commands(policy, rows) - scaled(rows @ weights())).max() < 1e-5


@pytest.mark.parametrize("shape", [None, (None, SIZE), ("N", None), (1, 1, SIZE)])
def test_inputs_of_any_shape(tmp_path, shape):
    policy = packed(linear(tmp_path / "actor.onnx", weights(), shape=shape))
    rows = observations(policy)
    assert np.abs(commands(policy, rows) - scaled(rows @ weights())).max() < 1e-5


def test_functions_of_its_own_are_written_out(tmp_path):
    body = [helper.make_node("Tanh", ["x"], ["t"]), helper.make_node("Neg", ["t"], ["y"])]
    function = helper.make_function("mine", "Squash", ["x"], ["y"], body, [helper.make_opsetid("", 17)])
    nodes = [helper.make_node("Squash", ["raw"], ["actions"], domain="mine")]
    imports = [helper.make_opsetid("mine", 1)]
    path = linear(tmp_path / "actor.onnx", weights(), nodes=nodes, imports=imports, functions=[function])
    policy = packed(path, without=["clip"])
    rows = observations(policy)
    assert np.abs(commands(policy, rows) - scaled(-np.tanh(rows @ weights()))).max() < 1e-5


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("normalized", lambda raw: scaled(raw)),
        ("physical", lambda raw: np.clip(raw, LOW, HIGH)),
        ({"scale": [0.4, 3.0], "offset": [0.1, -0.2]}, lambda raw: np.clip(raw * [0.4, 3.0] + [0.1, -0.2], LOW, HIGH)),
    ],
)
def test_units_of_outputs(tmp_path, output, expected):
    policy = packed(linear(tmp_path / "actor.onnx", 3 * weights()), output=output)
    rows = observations(policy)
    raw = rows @ (3 * weights())
    assert np.abs(commands(policy, rows) - expected(raw)).max() < 1e-5
    assert (np.abs(raw) > 1).any()


def test_narrower_limits_than_the_robots(tmp_path):
    policy = packed(linear(tmp_path / "actor.onnx", weights()), action={"kind": "diff_drive", "linear": [0.0, 0.22]})
    assert policy.manifest.action.linear == (0.0, 0.22)
    assert policy.manifest.action.angular == SCOUT.action.angular
    assert (commands(policy, observations(policy))[:, 0] <= 0.22 + 1e-6).all()


def test_a_holonomic_robot_gets_three_values(tmp_path):
    velocity, previous = {"term": "velocity", "lateral": True}, {"term": "previous_action", "count": 3}
    omni = {"robot_type": "omni", "observation": [{"term": "goal", "range": 5.0}, velocity, previous]}
    action = load_robot_types(ROBOT_TYPES)["omni"].action
    network = linear(tmp_path / "actor.onnx", np.random.default_rng(0).normal(size=(9, 3)), shape=(1, 9))
    policy = packed(network, **omni)
    assert policy.manifest.action == action
    given = commands(policy, observations(policy))
    assert given.shape == (100, 3)
    assert (given >= action.low - 1e-6).all()
    assert (given <= action.high + 1e-6).all()
    slow = packed(network, **omni, action={"lateral": [-0.1, 0.1]}, output={"scale": [0.1, 0.1, 0.2]})
    assert slow.manifest.action == msgspec.structs.replace(action, lateral=(-0.1, 0.1))
    with pytest.raises(KdmarlError, match=r"output.scale: \[0.1, 0.2\] has 2 values, a command has 3: forward speed"):
        packed(network, **omni, output={"scale": [0.1, 0.2]})
    with pytest.raises(KdmarlError, match="kind is diff_drive, the robot drives by holonomic commands"):
        packed(network, **omni, action={"kind": "diff_drive", "linear": [0.0, 0.2]})


@pytest.mark.parametrize("scores", [True, False], ids=["scores", "index"])
@pytest.mark.parametrize("listed", [True, False], ids=["listed commands", "discrete"])
def test_numbered_actions(tmp_path, scores, listed):
    choose = helper.make_node("ArgMax", ["raw"], ["actions"], axis=-1, keepdims=0)
    kind = [helper.make_tensor_value_info("actions", TensorProto.INT64, None)]
    options = {} if scores else {"nodes": [choose], "outputs": kind}
    path = linear(tmp_path / "actor.onnx", weights(3), **options)
    if listed:
        policy = packed(path, without=["clip"], output={"commands": LISTED})
    else:
        policy = packed(path, without=["clip", "output"], action={"kind": "discrete", "n": 3})
        assert policy.manifest.action == Discrete(3)
    rows = np.random.default_rng(7).normal(size=(100, SIZE)).astype(np.float32)
    chosen = (rows @ weights(3)).argmax(-1)
    assert len(set(chosen)) == 3
    expected = np.array(LISTED)[chosen] if listed else chosen[:, None]
    assert np.abs(commands(policy, rows) - expected).max() < 1e-6


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("listed", [True, False])
def test_what_is_not_finite_becomes_no_command(tmp_path, value, listed):
    actions, options = (3, {"output": {"commands": LISTED}, "clip": False}) if listed else (2, {})
    policy = packed(linear(tmp_path / "actor.onnx", np.full((SIZE, actions), 0.01)), **options)
    row = np.zeros(SIZE, np.float32)
    row[3] = value
    assert np.isnan(policy(row)).all()


class Categorical(nn.Module):
    """As Stable-Baselines3's PPO chooses one of numbered actions: by probabilities, from normalised logits."""

    def __init__(self):
        super().__init__()
        self.logits = nn.Linear(SIZE, 3)

    def forward(self, observation):
        logits = self.logits(observation)
        logits = logits - logits.logsumexp(-1, keepdim=True)
        return logits.softmax(-1).argmax(-1), logits.logsumexp(-1)


@EXPORTERS
@pytest.mark.parametrize("opset", [13, 18, 20])
def test_numbered_actions_by_their_probabilities(tmp_path, dynamo, opset):
    torch.manual_seed(0)
    network, path = Categorical(), tmp_path / "actor.onnx"
    if dynamo and opset < 18:
        pytest.skip("the new exporter begins at opset 18")
    export(network, (torch.zeros(1, SIZE),), path, dynamo, opset_version=opset)
    assert "ReduceLogSumExp" in {node.op_type for node in onnx.load(path).graph.node}
    policy = packed(path, without=["clip"], output={"commands": LISTED})
    rows = np.random.default_rng(7).normal(size=(100, SIZE)).astype(np.float32)
    chosen = network(torch.from_numpy(rows))[0].numpy()
    assert len(set(chosen)) == 3
    assert np.abs(commands(policy, rows) - np.array(LISTED)[chosen]).max() < 1e-6


def test_what_the_file_says_of_itself(tmp_path):
    path = linear(tmp_path / "actor.onnx", weights())
    extra = {"task": "patrol", "name": "patrol_1", "goal_tolerance": 0.2}
    manifest = packed(path, **extra).manifest
    origin = manifest.provenance
    assert (manifest.name, manifest.task, manifest.goal_tolerance) == ("patrol_1", "patrol", 0.2)
    assert origin.packed.files == {"actor.onnx": sha256(path)}
    assert origin.packed.producer == "hand"
    assert origin.config_sha256 == sha256(tmp_path / "manifest.yaml")
    assert origin.expert == "none"
    model = onnx.load(tmp_path / "models/policy.onnx")
    assert model.producer_name == "kdmarl"
    assert str(tmp_path) not in str(model)


def test_the_list_of_checksums_is_kept(tmp_path):
    (tmp_path / "models").mkdir()
    write_policy(tmp_path / "models/other.onnx")
    (tmp_path / "models/SHA256SUMS").write_text("")
    policy = packed(linear(tmp_path / "actor.onnx", weights()))
    assert read_sums(tmp_path / "models") == {"policy.onnx": policy.sha256}


def test_the_example(tmp_path):
    path = linear(tmp_path / "actor.onnx", weights())
    shutil.copy(REPOSITORY / "config/pack.yaml", tmp_path)
    pack(path, tmp_path / "pack.yaml", ROBOT_TYPES, tmp_path / "policy.onnx")


def test_one_of_two_outputs_by_its_name(tmp_path):
    policy = packed(two_outputs(tmp_path / "actor.onnx"), output_name="mean")
    rows = observations(policy)
    assert np.abs(commands(policy, rows) - scaled(np.tanh(rows @ weights()))).max() < 1e-5
