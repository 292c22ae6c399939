"""Experiments of MPE tasks: the shipped files, and the whole chain in small, measured on mpe2 itself."""

import json

import msgspec
import numpy as np
import pytest
from mpe2.simple_speaker_listener.simple_speaker_listener import parallel_env

from kdmarl_core.cli.config import load_experiment, make_env, make_evaluation_env
from kdmarl_core.cli.main import app
from kdmarl_core.contract import KdmarlError
from kdmarl_core.distill.distill import make_students
from kdmarl_core.expert.networks import make_policy
from kdmarl_core.runtime import Policy
from sim_support import make_swarm, robot
from support import REPOSITORY

CONFIGS = sorted((REPOSITORY / "config").glob("mpe_*.yaml"))
SPEAKER = REPOSITORY / "config/mpe_speaker_listener.yaml"
TINY = {
    "expert.envs": 4, "expert.steps": 10, "expert.iterations": 2, "expert.actor.hidden": [16],
    "expert.critic.hidden": [16], "distill.rounds": 2, "distill.envs": 4, "distill.steps": 5, "distill.updates": 5,
    "distill.final_updates": 5, "task.max_steps": 8, "task.observations.student.landmarks": 2,
    "evaluate.episodes": 4, "evaluate.envs": 2,
}  # fmt: skip
OVERRIDES = [part for key, value in TINY.items() for part in ("--set", f"{key}={json.dumps(value)}")]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_shipped_files_fit_mpe2_and_students_are_small_enough(path):
    experiment = load_experiment(path, [])
    env = make_env(experiment, path, 1)
    measured = make_evaluation_env(experiment, path, 1)
    assert measured.groups == env.groups
    assert measured.state_sizes == env.state_sizes
    expert = make_policy(experiment.expert.policy, env.groups, experiment.expert.actor)
    students = make_students(experiment.distill, env.groups)
    assert all(expert.macs(group.name) >= 28.6 * students.macs(group.name) for group in env.groups)


def test_a_file_for_each_scenario():
    tasks = [load_experiment(path, []).task.scenario for path in CONFIGS]
    assert sorted(tasks) == ["simple_reference", "simple_speaker_listener", "simple_spread"]


def test_swarm_files_are_refused():
    experiment = load_experiment(SPEAKER, [])
    for make in (make_env, make_evaluation_env):
        with pytest.raises(KdmarlError, match="test_swarm.yaml: places robots, and task simple_speaker_listener has"):
            make(experiment, SPEAKER, 1, make_swarm([robot()]))


def test_students_of_unknown_agents_are_refused():
    with pytest.raises(KdmarlError, match="unknown robot type 'lisener'; did you mean 'listener'"):
        load_experiment(SPEAKER, ["distill.students.lisener={}"])


def test_the_whole_chain_is_measured_on_mpe2(tmp_path, capsys):
    output, models = ["--output", str(tmp_path / "run")], ["--models", str(tmp_path / "models")]
    for command in (["train"], ["distill"], ["export", *models], ["evaluate", "--record", *models]):
        app([command[0], str(SPEAKER), *output, *command[1:], *OVERRIDES], standalone_mode=False)
    printed = capsys.readouterr().out
    assert "simple_speaker_listener of mpe2" in printed
    assert "covered" in printed
    assert "at goal" not in printed
    rows = json.loads((tmp_path / "run/evaluation.json").read_text())["rows"]
    assert {(row["team"], row["robot_type"]) for row in rows} == {
        (team, kind) for team in ("expert", "students", "random") for kind in ("team", "speaker", "listener")
    }
    files = {
        f"{kind}_0": Policy.load(tmp_path / f"models/simple_speaker_listener_{kind}.onnx")
        for kind in ("speaker", "listener")
    }
    found = next(row for row in rows if (row["team"], row["robot_type"]) == ("students", "listener"))
    expected = np.mean([play(files, index, episode) for index in (0, 1) for episode in (0, 1)])
    assert found["return"]["mean"] == pytest.approx(expected, rel=1e-5)
    results = files["listener_0"].manifest.results
    assert results.return_.mean == found["return"]["mean"]
    assert results.success is None
    assert results.covered == msgspec.convert(found["covered"], type(results.covered))
    app(["inspect", str(files["listener_0"].path)], standalone_mode=False)
    assert "covered" in capsys.readouterr().out


def play(files: dict[str, Policy], index: int, episode: int) -> float:
    """The listener's return in one episode, on mpe2 without anything of ours but the policy files."""
    env = parallel_env(max_cycles=8)
    seed = np.random.SeedSequence([900_000_000, index, episode]).generate_state(1)[0]
    seen, _ = env.reset(seed=int(seed))
    total = 0.0
    while env.agents:
        places = seen["listener_0"][2:8].reshape(3, 2)
        places[np.linalg.norm(places, axis=1).argmax()] = 0  # it sees the nearest two landmarks only
        seen, reward, *_ = env.step({agent: int(files[agent](seen[agent])[0]) for agent in env.agents})
        total += reward["listener_0"]
    return total
