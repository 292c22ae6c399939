"""Int8 policy files compute what the quantised network computed, and are smaller."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from kdmarl_core.contract import Discrete, Manifest, load_robot_types, observation_size
from kdmarl_core.contract.manifest import Provenance
from kdmarl_core.contract.terms import Goal, Lidar, PreviousAction, Velocity
from kdmarl_core.distill.quantization import calibrate, in_float
from kdmarl_core.envs.base import STUDENT, Group
from kdmarl_core.expert.networks import NetworkConfig
from kdmarl_core.expert.policies import DecentralizedPolicy
from kdmarl_core.export.int8 import write_int8_policy
from kdmarl_core.export.onnx_export import differences, macs, parameters, weight_bytes, write_policy
from kdmarl_core.runtime import Policy
from support import ROBOT_TYPES

TERMS = [Lidar(36, 3.5), Goal(5.0), Velocity(), PreviousAction()]
SCOUT = load_robot_types(ROBOT_TYPES)["scout"]
ORIGIN = Provenance(kdmarl_version="0", commit="c", config_sha256="s", seed=1, expert="e", created="d")


def quantised(action, activation):
    """A calibrated actor with its manifest, and the observations of the calibration."""
    torch.manual_seed(0)
    config = NetworkConfig(hidden=(32, 16), activation=activation)
    students = DecentralizedPolicy((Group("scout", slice(0, 1), {STUDENT: TERMS}, action),), STUDENT, {"scout": config})
    actor = students.actor("scout")
    seen = torch.randn(2000, observation_size(TERMS)) * 3 + 1
    with torch.no_grad():
        actor.net[-1].weight.mul_(100)
        for layer in actor.net[::2]:
            layer.bias.normal_(0, 0.3)
    actor.normalizer.update(seen)
    calibrate(students, {"scout": seen})
    manifest = Manifest(
        name="p", task="t", robot_type="scout", observation=TERMS, action=action, control_period=0.1,
        quantization="int8", provenance=ORIGIN,
    )  # fmt: skip
    return actor, manifest, seen.numpy()


@pytest.mark.parametrize("action", [SCOUT.action, Discrete(5)], ids=["drive", "discrete"])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_the_file_computes_what_training_imitated(tmp_path, action, activation):
    actor, manifest, seen = quantised(action, activation)
    path, whole = tmp_path / "int8.onnx", tmp_path / "float.onnx"
    write_int8_policy(actor, manifest, path)
    write_policy(in_float(actor), manifest, whole)
    policy = Policy.load(path)
    assert policy.manifest == manifest
    commands = np.array([policy(row) for row in seen])
    imitated = differences(actor, seen, commands)
    rounding = differences(in_float(actor), seen, commands)
    # Float sums may fall to the other side of a rounding boundary now and then, by one step.
    assert np.mean(imitated > 1e-4) < 0.003
    assert imitated.mean() < 0.02 * rounding.mean()
    assert rounding.mean() > 1e-4
    assert commands.std() > 0.1
    assert macs(path) == macs(whole) == actor.macs
    assert parameters(path) == parameters(whole)
    assert weight_bytes(path) < 0.5 * weight_bytes(whole)


def test_products_are_computed_in_integers(tmp_path):
    actor, manifest, _ = quantised(SCOUT.action, "relu")
    write_int8_policy(actor, manifest, tmp_path / "p.onnx")
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3
    ort.InferenceSession(tmp_path / "p.onnx", options, providers=["CPUExecutionProvider"])
    operators = [node.op_type for node in onnx.load(str(tmp_path / "optimised.onnx")).graph.node]
    assert operators.count("QGemm") == 3
    assert "Gemm" not in operators


def test_scales_in_the_file_are_those_of_the_network(tmp_path):
    actor, manifest, _ = quantised(SCOUT.action, "relu")
    write_int8_policy(actor, manifest, tmp_path / "p.onnx")
    arrays = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(str(tmp_path / "p.onnx")).graph.initializer}
    scales = actor.net[0].scales()
    weight = next(name for name in arrays if name.endswith("net.0.weight_scale"))
    np.testing.assert_array_equal(arrays[weight], scales.weight_steps)
    steps = [float(array) for name, array in arrays.items() if array.shape == () and name.endswith("_scale")]
    assert np.float32(scales.input_step) in np.array(steps, np.float32)
    normaliser = [array for array in arrays.values() if array.shape == (manifest.observation_size,)]
    assert {array.dtype for array in normaliser} == {np.dtype("float32")}


def test_the_file_holds_no_trace_of_the_machine(tmp_path):
    actor, manifest, _ = quantised(SCOUT.action, "relu")
    write_int8_policy(actor, manifest, tmp_path / "p.onnx")
    text = (tmp_path / "p.onnx").read_bytes().decode("latin1")
    for trace in ("site-packages", ".py", str(tmp_path), 'File "', "/tmp"):
        assert trace not in text
    write_int8_policy(actor, manifest, tmp_path / "q.onnx")
    assert (tmp_path / "q.onnx").read_bytes() == (tmp_path / "p.onnx").read_bytes()
