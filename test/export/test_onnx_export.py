"""Policy files: the graph acts as the network, explains itself, and holds no trace of the machine."""

import msgspec
import numpy as np
import onnx
import pytest
import torch

from kdmarl_core.contract import Discrete, KdmarlError, Manifest, load_robot_types, observation_size
from kdmarl_core.contract.manifest import Provenance, RecurrentState
from kdmarl_core.contract.terms import Goal, Lidar, PreviousAction, Velocity
from kdmarl_core.distill.quantization import calibrate
from kdmarl_core.envs.base import STUDENT
from kdmarl_core.evaluate import episodes
from kdmarl_core.expert.networks import Actor, NetworkConfig
from kdmarl_core.expert.policies import make_policy, observe
from kdmarl_core.export.int8 import write_int8_policy
from kdmarl_core.export.onnx_export import (
    differences,
    macs,
    record_results,
    weight_bytes,
    write_policy,
)
from kdmarl_core.runtime import Policy
from support import ROBOT_TYPES
from toy import Doors

TERMS = [Lidar(36, 3.5), Goal(5.0), Velocity(), PreviousAction()]
SCOUT = load_robot_types(ROBOT_TYPES)["scout"]
ORIGIN = Provenance(kdmarl_version="0", commit="c", config_sha256="s", seed=1, expert="e", created="d")


def at_first(policy, row):
    """The command where an episode begins."""
    policy.reset()
    return policy(row)


def make(action, activation="relu", memory=0):
    torch.manual_seed(0)
    network = NetworkConfig(hidden=(32, 16), activation=activation, memory=memory)
    actor = Actor(observation_size(TERMS), action, network)
    with torch.no_grad():
        actor.net[-1].weight.mul_(100)
        actor.normalizer.update(torch.randn(500, actor.normalizer.mean.numel()) * 3 + 1)
    manifest = Manifest(
        name="p", task="t", robot_type="scout", observation=TERMS, action=action, control_period=0.1, provenance=ORIGIN
    )
    return actor, manifest


@pytest.mark.parametrize("action", [SCOUT.action, Discrete(5)])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_the_file_acts_as_the_network(tmp_path, action, activation):
    actor, manifest = make(action, activation)
    path = tmp_path / "p.onnx"
    write_policy(actor, manifest, path)
    policy = Policy.load(path)
    assert policy.manifest == manifest
    observations = (np.random.default_rng(0).normal(size=(200, manifest.observation_size)) * 5).astype(np.float32)
    commands = np.array([policy(row) for row in observations])
    assert differences(actor, observations, commands).max() < 1e-5
    assert commands.std() > 0.1
    assert macs(path) == actor.macs
    assert weight_bytes(path) >= 4 * sum(p.numel() for p in actor.net.parameters())


def test_a_tie_is_no_difference():
    actor, manifest = make(Discrete(3))
    with torch.no_grad():
        actor.net[-1].weight.zero_()
        actor.net[-1].bias.copy_(torch.tensor([0.5, 0.5 + 1e-6, 0.4]))
    choices = np.array([[0], [1], [2]], np.float32)
    seen = np.zeros((3, manifest.observation_size), np.float32)
    assert differences(actor, seen, choices).tolist() == [[0], [0], [1]]


@pytest.mark.parametrize(("memory", "int8"), [(0, False), (8, False), (0, True)])
def test_the_file_masks_by_itself(tmp_path, memory, int8):
    env = Doors(20)
    torch.manual_seed(0)
    team = make_policy("decentralized", env.groups, NetworkConfig(hidden=(16,), memory=memory), STUDENT)
    with torch.no_grad():
        for group in env.groups:
            team.actor(group.name).net[-1].weight.mul_(100)
    if int8:
        calibrate(team, observe(env, STUDENT))
    policies = {}
    for group in env.groups:
        actor = team.actor(group.name)
        _, manifest = make(group.action)
        manifest = msgspec.structs.replace(manifest, observation=group.observation[STUDENT], robot_type=group.name)
        (write_int8_policy if int8 else write_policy)(actor, manifest, tmp_path / f"{group.name}.onnx")
        policies[group.name] = Policy.load(tmp_path / f"{group.name}.onnx")
        seen = env.observe(STUDENT)[group.name].reshape(-1, manifest.observation_size)
        commands = np.array([at_first(policies[group.name], row) for row in seen])
        assert differences(actor, seen, commands).max() == 0
    figures = episodes.run(env, episodes.PolicyFiles(policies), 60, seed=1)  # a closed door raises
    assert figures["return"].shape == (60, 3)


@pytest.mark.parametrize("action", [SCOUT.action, Discrete(5)])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_the_file_remembers_as_the_network(tmp_path, action, activation):
    actor, manifest = make(action, activation, memory=8)
    path = tmp_path / "p.onnx"
    write_policy(actor, manifest, path)
    policy = Policy.load(path)
    assert policy.manifest.recurrent == [RecurrentState(name="memory", shape=[1, 8])]
    assert macs(path) == actor.macs
    observations = (np.random.default_rng(0).normal(size=(200, manifest.observation_size)) * 5).astype(np.float32)
    apart, remembered = [], []
    for step, row in enumerate(observations):
        if step % 50 == 0:
            policy.reset()
            state = torch.zeros(1, 8)
        command, alone = policy(row), actor.greedy(torch.from_numpy(row[None])).detach().numpy()
        apart.append(differences(actor, row[None], command[None], state).max())
        remembered.append(np.abs(command - alone).max())
        with torch.no_grad():
            state = actor.features(torch.from_numpy(row[None]), state)
        np.testing.assert_allclose(policy.state[0], state, atol=1e-5)
    assert max(apart) < 1e-5
    assert max(remembered[::50]) < 1e-5
    assert max(remembered) > 0.1


def test_the_file_holds_no_trace_of_the_machine(tmp_path):
    actor, manifest = make(SCOUT.action)
    write_policy(actor, manifest, tmp_path / "p.onnx")
    text = (tmp_path / "p.onnx").read_bytes().decode("latin1")
    for trace in ("site-packages", ".py", str(tmp_path), 'File "'):
        assert trace not in text


def test_results_are_recorded_without_touching_the_graph(tmp_path):
    actor, manifest = make(SCOUT.action)
    path = tmp_path / "p.onnx"
    write_policy(actor, manifest, path)
    before = onnx.load(str(path)).graph.SerializeToString(deterministic=True)
    record_results(path, Manifest.from_json(manifest.to_json().replace(b'"p"', b'"q"'), "x"))
    assert onnx.load(str(path)).graph.SerializeToString(deterministic=True) == before
    assert Policy.load(path).manifest.name == "q"


def test_an_unwritable_place_is_named(tmp_path):
    actor, manifest = make(SCOUT.action)
    (tmp_path / "file").write_text("")
    with pytest.raises(KdmarlError, match="cannot be written"):
        write_policy(actor, manifest, tmp_path / "file" / "p.onnx")
