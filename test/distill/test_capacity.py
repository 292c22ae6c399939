"""The cost model counts what files hold, and candidates fill a budget without breaking it."""

import pytest
import torch

from kdmarl_core.contract import Discrete, KdmarlError, Manifest, observation_size
from kdmarl_core.contract.manifest import Provenance
from kdmarl_core.contract.robots import Budget
from kdmarl_core.contract.terms import PreviousAction
from kdmarl_core.distill.capacity import SHAPES, Cost, Student, candidates, choose, cost, limit_of_growth
from kdmarl_core.distill.quantization import calibrate
from kdmarl_core.envs.base import STUDENT, Group
from kdmarl_core.expert.networks import Actor, NetworkConfig
from kdmarl_core.expert.policies import DecentralizedPolicy
from kdmarl_core.export.int8 import write_int8_policy
from kdmarl_core.export.onnx_export import macs, weight_bytes, write_policy
from toy import DRIVE, Doors

ORIGIN = Provenance(kdmarl_version="0", commit="c", config_sha256="s", seed=1, expert="e", created="d")
RELU = NetworkConfig(activation="relu")
SCOUT = Student("scout", 97, DRIVE, RELU)


@pytest.mark.parametrize("action", [DRIVE, Discrete(5)], ids=["drive", "discrete"])
@pytest.mark.parametrize("hidden", [(8,), (12, 7), (6, 5, 9)])
@pytest.mark.parametrize("spread", [False, True])
def test_costs_are_those_of_real_networks_and_files(tmp_path, action, hidden, spread):
    student = Student("one", 11, action, NetworkConfig(activation="relu", state_dependent_std=spread))
    actor = Actor(11, action, student.of(hidden))
    for parameter in actor.net.parameters():
        torch.nn.init.normal_(parameter)  # the exporter leaves out biases that are 0
    found = cost(student, hidden)
    assert found.macs == actor.macs
    assert found.parameters == sum(p.numel() for p in actor.net.parameters()) + 2 * 11
    if found.macs != cost(student._replace(network=RELU), hidden).macs:
        return  # outputs that only exploration needs are in the network, and may be left out of the file
    manifest = Manifest(
        name="p", task="t", robot_type="one", observation=[PreviousAction(11)], action=action, control_period=0.1,
        provenance=ORIGIN,
    )  # fmt: skip
    write_policy(actor, manifest, tmp_path / "p.onnx")
    assert found.macs == macs(tmp_path / "p.onnx")
    assert found.bytes == weight_bytes(tmp_path / "p.onnx")
    students = DecentralizedPolicy((Group("one", slice(0, 1), {STUDENT: [PreviousAction(11)]}, action),), STUDENT,
                                   {"one": student.of(hidden)})  # fmt: skip
    students.actor("one").load_state_dict(actor.state_dict())
    calibrate(students, {"one": torch.randn(10, 11)})
    write_int8_policy(students.actor("one"), manifest, tmp_path / "q.onnx")
    rounded = cost(student._replace(int8=True), hidden)
    assert (rounded.macs, rounded.parameters) == (found.macs, found.parameters)
    assert rounded.bytes == weight_bytes(tmp_path / "q.onnx")


@pytest.mark.parametrize("int8", [False, True])
def test_masks_are_counted(tmp_path, int8):
    group, network = Doors(1).groups[0], NetworkConfig(hidden=(12, 7), activation="relu")
    observation = group.observation[STUDENT]
    student = Student("one", observation_size(observation), group.action, network, int8, masked=True)
    team = DecentralizedPolicy((group,), STUDENT, {group.name: network})
    actor, path = team.actor(group.name), tmp_path / "p.onnx"
    for parameter in actor.net.parameters():
        torch.nn.init.normal_(parameter)
    manifest = Manifest(
        name="p", task="t", robot_type="one", observation=observation, action=group.action, control_period=0.1,
        provenance=ORIGIN,
    )  # fmt: skip
    if int8:
        calibrate(team, {group.name: torch.randn(10, student.inputs)})
    (write_int8_policy if int8 else write_policy)(actor, manifest, path)
    found = cost(student, network.hidden)
    assert (found.macs, found.bytes) == (macs(path), weight_bytes(path))


@pytest.mark.parametrize("budget", [Budget(macs=3000), Budget(parameters=900), Budget(bytes=20_000, macs=10_000)])
def test_candidates_fit_and_the_next_wider_ones_do_not(budget):
    found = candidates(SCOUT, budget)
    assert len({one.network.hidden for one in found}) == len(found) >= 5
    for one in found:
        assert one.cost == cost(SCOUT, one.network.hidden)
        assert not one.cost.exceeded(budget)
        if one.shape in SHAPES:
            # Widths are rounded from that of the widest layer, which no wider one may follow.
            wider = max(one.network.hidden) + 1
            hidden = tuple(max(4, round(ratio * wider)) for ratio in SHAPES[one.shape])
            assert cost(SCOUT, hidden).exceeded(budget)
    assert limit_of_growth(SCOUT, choose(found), budget)


def test_shipped_navigation_students_are_what_is_planned():
    assert choose(candidates(SCOUT, Budget(macs=3000))).network.hidden == (24, 24)


def test_a_bottleneck_is_not_chosen_unmeasured():
    found = candidates(SCOUT, Budget(macs=800))
    assert found[0].network.hidden == (7, 7)
    assert choose(found).network.hidden == (8,)


def test_latency_is_measured_only_where_it_is_limited_and_decides():
    asked = []

    def timer(network):
        asked.append(network.hidden)
        return 1e-6 * sum(network.hidden)

    candidates(SCOUT, Budget(macs=3000), timer)
    assert not asked
    found = candidates(SCOUT, Budget(macs=30_000, latency=100e-6), timer)
    assert len(asked) == len(set(asked)) < 50
    by_shape = {one.shape: one for one in found}
    for shape, ratios in SHAPES.items():
        one = by_shape[shape]
        assert one.cost.latency <= 100e-6
        assert one.cost.macs <= 30_000
        assert one.cost.latency >= 85e-6 or cost(SCOUT, tuple(w + 2 for w in one.network.hidden)).macs > 30_000, ratios


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        (Budget(macs=300), "scout: no student fits a budget of 300 MACs; the smallest, one hidden layer of 4 on 97 "
                           "inputs, takes 396 MACs; raise"),
        (Budget(macs=3000, bytes=100), "of 3,000 MACs, 100 bytes; .* takes 2,416 bytes"),
        (Budget(latency=1e-6), "of 1 us; .* takes 20 us"),
        (Budget(), "scout: has no budget; give it one .*--budget 'scout={macs: 3000}'"),
    ],
)  # fmt: skip
def test_budgets_that_nothing_fits_are_refused(budget, message):
    with pytest.raises(KdmarlError, match=message):
        candidates(SCOUT, budget, lambda network: 20e-6)


def test_students_with_memory_are_refused():
    with pytest.raises(KdmarlError, match="scout: students with memory are not planned; set its memory to 0"):
        candidates(SCOUT._replace(network=NetworkConfig(memory=8)), Budget(macs=3000))


def test_only_what_is_limited_and_known_is_exceeded():
    spent = Cost(10, 20, 30)
    assert spent.exceeded(Budget(macs=9, bytes=30, latency=1e-9)) == ["macs"]
    assert spent._replace(latency=1.0).exceeded(Budget(latency=1e-9)) == ["latency"]
