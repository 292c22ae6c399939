"""Experiments of MPE tasks: the shipped files, and the whole chain in small, measured on mpe2 itself."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from mpe2.simple_spread.simple_spread import parallel_env

from kdmarl_core.cli.main import app
from kdmarl_core.contract import KdmarlError
from kdmarl_core.distill.distill import make_students
from kdmarl_core.experiment.experiment import Experiment
from kdmarl_core.expert.policies import make_policy
from kdmarl_core.runtime import Policy
from sim_support import make_swarm, robot
from support import REPOSITORY

CONFIGS = sorted((REPOSITORY / "config").glob("mpe_*.yaml"))
SPREAD = REPOSITORY / "config/mpe_spread.yaml"
SPEAKER = REPOSITORY / "config/mpe_speaker_listener.yaml"
TINY = {
    "expert.envs": 4, "expert.steps": 10, "expert.iterations": 2, "expert.actor.hidden": [16],
    "expert.critic.hidden": [16], "distill.rounds": 2, "distill.envs": 4, "distill.steps": 5, "distill.updates": 5,
    "distill.final_updates": 5, "distill.polish.rounds": 1, "task.max_steps": 8,
    "task.observations.student": {"neighbors": 1, "landmarks": 2}, "evaluate.episodes": 4, "evaluate.envs": 2,
}  # fmt: skip
OVERRIDES = [part for key, value in TINY.items() for part in ("--set", f"{key}={json.dumps(value)}")]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_shipped_files_fit_mpe2_and_students_are_small_enough(path):
    experiment = Experiment.load(path)
    env = experiment.env(1)
    measured = experiment.evaluation_env(1)
    assert measured.groups == env.groups
    assert measured.state_sizes == env.state_sizes
    expert = make_policy(experiment.expert.policy, env.groups, experiment.expert.actor)
    students = make_students(experiment.distill, env.groups)
    assert all(expert.macs(group.name) >= 28.6 * students.macs(group.name) for group in env.groups)


def test_a_file_for_each_scenario():
    tasks = [Experiment.load(path).task.scenario for path in CONFIGS]
    assert sorted(tasks) == ["simple_reference", "simple_speaker_listener", "simple_spread", "simple_tag"]


def test_swarm_files_are_refused():
    experiment = Experiment.load(SPEAKER)
    for make in (experiment.env, experiment.evaluation_env):
        with pytest.raises(KdmarlError, match="test_swarm.yaml: places robots, and task simple_speaker_listener has"):
            make(1, make_swarm([robot()]))


def test_students_of_unknown_agents_are_refused():
    with pytest.raises(KdmarlError, match="unknown robot type 'lisener'; did you mean 'listener'"):
        Experiment.load(SPEAKER, ["distill.students.lisener={}"])


@pytest.mark.parametrize("memory", [0, 8])
def test_the_whole_chain_is_measured_on_mpe2(tmp_path, capsys, memory):
    network = ["--set", f"distill.students.agent={{hidden: [16], memory: {memory}}}"]
    output, models = ["--output", str(tmp_path / "run")], ["--models", str(tmp_path / "models")]
    for command in (["train"], ["distill"], ["export", *models], ["evaluate", "--record", *models]):
        app([command[0], str(SPREAD), *output, *command[1:], *OVERRIDES, *network], standalone_mode=False)
    printed = capsys.readouterr().out
    assert "bytes, chooses another action than its network in 0.00% of its steps" in " ".join(printed.split())
    assert "simple_spread of mpe2" in printed
    assert "covered" in printed
    assert "at goal" not in printed
    rows = json.loads((tmp_path / "run/evaluation.json").read_text())["rows"]
    assert {(row["team"], row["robot_type"]) for row in rows} == {
        (team, kind) for team in ("expert", "students", "random") for kind in ("team", "agent")
    }
    policy = Policy.load(tmp_path / "models/simple_spread_agent.onnx")
    found = next(row for row in rows if (row["team"], row["robot_type"]) == ("students", "agent"))
    assert [state.shape for state in policy.manifest.recurrent] == ([[1, memory]] if memory else [])
    assert found["macs"] == 16 * policy.manifest.observation_size + (3 * (16 + 8) * 8 + 8 * 5 if memory else 16 * 5)
    expected = np.mean([play(policy.path, index, episode) for index in (0, 1) for episode in (0, 1)])
    assert found["return"]["mean"] == pytest.approx(expected, rel=1e-5)
    results = policy.manifest.results
    assert results.return_.mean == found["return"]["mean"]
    assert results.success is None
    worse = results.expert_return <= results.random_return  # of experts that have hardly learnt
    assert (results.retention is None) == worse == ("there is nothing to retain" in printed)
    for figure in ("covered", "collisions"):
        assert getattr(results, figure).mean == found[figure]["mean"]
    app(["inspect", str(policy.path)], standalone_mode=False)
    assert "covered" in capsys.readouterr().out


@pytest.mark.parametrize("trained", ["none", "int8"])
def test_int8_files_go_through_the_chain(tmp_path, capsys, trained):
    output, models = ["--output", str(tmp_path / "run")], ["--models", str(tmp_path / "models")]
    overrides = [*output, *OVERRIDES, "--set", f"distill.quantization={trained}"]
    flags = ["--int8"] if trained == "none" else []
    for command in (["train"], ["distill"], ["export", *models, *flags], ["evaluate", "--record", *models]):
        app([command[0], str(SPREAD), *overrides, *command[1:]], standalone_mode=False)
    printed = " ".join(capsys.readouterr().out.split())
    assert re.search(r"\d+ bytes, chooses another action than its network in [\d.]+% of its steps", printed)
    policy = Policy.load(tmp_path / "models/simple_spread_agent.onnx")
    assert policy.manifest.quantization == "int8"
    inputs, hidden = policy.manifest.observation_size, (40, 36)
    products = inputs * 40 + 40 * 36 + 36 * 5
    results = policy.manifest.results
    assert results.macs == products
    assert results.parameters == pytest.approx(products + sum(hidden) + 5 + 2 * inputs, abs=5)
    assert results.bytes < 2.2 * results.parameters
    app(["inspect", str(policy.path)], standalone_mode=False)
    assert "int8 weights and activations" in capsys.readouterr().out


def test_students_with_memory_are_not_exported_in_int8(tmp_path):
    remembers = ["--set", "distill.students.agent={hidden: [16], memory: 8}"]
    with pytest.raises(KdmarlError, match="--int8: students with memory stay in float32; leave out --int8, or set"):
        app(["export", str(SPREAD), "--output", str(tmp_path), "--int8", *remembers], standalone_mode=False)


def play(path: Path, index: int, episode: int) -> float:
    """An agent's mean return in one episode, on mpe2 without anything of ours but the policy file."""
    env = parallel_env(max_cycles=8, num_agent_neighbors=1, num_landmark_neighbors=2)
    seed = np.random.SeedSequence([900_000_000, index, episode]).generate_state(1)[0]
    seen, _ = env.reset(seed=int(seed))
    policies = {agent: Policy.load(path) for agent in env.agents}
    total = 0.0
    while env.agents:
        seen, reward, *_ = env.step({agent: int(policies[agent](seen[agent])[0]) for agent in env.agents})
        total += np.mean(list(reward.values()))
    return total
