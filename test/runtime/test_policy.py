"""Policy files: what they give, and bytes that are not one."""

import hashlib
import time

import numpy as np
import onnx
import pytest

from kdmarl_core.contract import Discrete, KdmarlError
from kdmarl_core.runtime import Policy, read_manifest
from support import write_policy


def reference(path, observations):
    """Commands from onnx's own evaluator, feeding the recurrent states back."""
    from onnx.reference import ReferenceEvaluator

    session = ReferenceEvaluator(onnx.load(path))
    states = {state.name: np.zeros(state.shape, np.float32) for state in Policy.load(path).manifest.recurrent}
    for observation in observations:
        values = session.run(None, {"observation": observation[None], **states})
        out = dict(zip(session.output_names, values, strict=True))
        states = {name: out[f"{name}_next"] for name in states}
        yield next(iter(out.values())).reshape(-1)


@pytest.mark.parametrize("robot_type", ["scout", "carrier", "mini"])
@pytest.mark.parametrize("recurrent", [False, True])
def test_agrees_with_the_reference_evaluator(tmp_path, robot_type, recurrent):
    path = write_policy(tmp_path / "p.onnx", robot_type, recurrent=recurrent)
    policy = Policy.load(path)
    observations = np.random.default_rng(0).normal(size=(5, policy.manifest.observation_size)).astype(np.float32)
    for observation, expected in zip(observations, reference(path, observations), strict=True):
        command = policy(observation)
        assert command.dtype == np.float32
        np.testing.assert_allclose(command, expected, rtol=1e-5, atol=1e-6)


def test_discrete_action(tmp_path):
    path = write_policy(tmp_path / "p.onnx", action=Discrete(n=5))
    policy = Policy.load(path)
    observations = np.random.default_rng(0).normal(size=(5, policy.manifest.observation_size)).astype(np.float32)
    for observation, expected in zip(observations, reference(path, observations), strict=True):
        assert policy(observation) == expected


def test_reset_forgets_the_state_and_results_are_kept(tmp_path):
    policy = Policy.load(write_policy(tmp_path / "p.onnx", recurrent=True))
    observation = np.ones(policy.manifest.observation_size, np.float32)
    first = policy(observation)
    kept = first.copy()
    assert not np.array_equal(policy(observation), first)
    np.testing.assert_array_equal(first, kept)
    policy.reset()
    np.testing.assert_array_equal(policy(observation), first)


def test_one_file_serves_several_robots_by_their_states(tmp_path):
    path = write_policy(tmp_path / "p.onnx", recurrent=True)
    one, *own = (Policy.load(path) for _ in range(4))
    observations = np.random.default_rng(0).normal(size=(5, 3, one.manifest.observation_size)).astype(np.float32)
    states = [one.state] * 3
    for seen in observations:
        for robot in range(3):
            one.state = states[robot]
            np.testing.assert_array_equal(one(seen[robot]), own[robot](seen[robot]))
            states[robot] = one.state
    kept = states[0][0].copy()
    one.reset()
    np.testing.assert_array_equal(states[0][0], kept)


def test_says_what_it_is(tmp_path):
    path = write_policy(tmp_path / "p.onnx", "mini")
    policy = Policy.load(str(path))
    assert policy.path == path
    assert policy.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert policy.manifest == read_manifest(path)
    assert policy.manifest.robot_type == "mini"


def test_wrong_observation_shape(tmp_path):
    policy = Policy.load(write_policy(tmp_path / "p.onnx"))
    for shape in ((), (1,), (1, policy.manifest.observation_size)):
        with pytest.raises(ValueError, match="observation has shape"):
            policy(np.zeros(shape, np.float32))


def test_refuses_what_is_no_file(tmp_path):
    (tmp_path / "empty.onnx").write_bytes(b"")
    for path, reason in (
        (tmp_path / "none.onnx", "no such file"),
        (tmp_path, "is not a file"),
        (tmp_path / "empty.onnx", "is empty"),
        ("a\0b", "is not a path"),
        ("/dev/zero", "is not a file"),
    ):
        with pytest.raises(KdmarlError, match=reason):
            Policy.load(path)
    with pytest.raises(KdmarlError, match="larger than 100 bytes"):
        Policy.load(write_policy(tmp_path / "p.onnx"), max_bytes=100)


def test_truncation_anywhere_is_refused(tmp_path):
    data = write_policy(tmp_path / "p.onnx", "mini").read_bytes()
    path = tmp_path / "cut.onnx"
    for length in range(0, len(data), 3):
        path.write_bytes(data[:length])
        with pytest.raises(KdmarlError):
            read_manifest(path)


def test_any_flipped_byte_is_refused_or_harmless(tmp_path):
    """Only KdmarlError ever comes out, whatever the bytes."""
    data = write_policy(tmp_path / "p.onnx", "mini", recurrent=True).read_bytes()
    rng = np.random.default_rng(0)
    path = tmp_path / "flipped.onnx"
    refused = 0
    for _ in range(500):
        flipped = bytearray(data)
        for position in rng.integers(0, len(data), rng.integers(1, 4)):
            flipped[position] = rng.integers(0, 256)
        path.write_bytes(flipped)
        try:
            policy = Policy.load(path)
        except KdmarlError:
            refused += 1
        else:
            policy(np.zeros(policy.manifest.observation_size, np.float32))
    assert refused > 100


@pytest.mark.parametrize(
    "data",
    [
        b"\x00" * 1000,
        b"\xff" * 1000,
        b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f",  # a graph of 2**62 bytes
        b"\x3a\x02" * 500_000,
        b"\x08\x01" * 500_000,  # one field after the other
        b"PK\x03\x04" + b"\x00" * 100,
    ],
)
def test_garbage_is_refused_quickly(tmp_path, data):
    path = tmp_path / "garbage.onnx"
    path.write_bytes(data)
    started = time.process_time()
    with pytest.raises(KdmarlError, match="no valid policy file"):
        Policy.load(path)
    assert time.process_time() - started < 5
