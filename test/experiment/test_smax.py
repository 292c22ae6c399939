"""Experiments of SMAX: the shipped files, and the whole chain in small."""

import json

import numpy as np
import pytest

from kdmarl_core.cli.main import app
from kdmarl_core.contract import KdmarlError
from kdmarl_core.distill.distill import make_students
from kdmarl_core.envs.base import STUDENT, BatchedEnv
from kdmarl_core.evaluate import episodes
from kdmarl_core.experiment.experiment import Experiment
from kdmarl_core.expert.policies import make_policy
from kdmarl_core.runtime import Policy
from sim_support import make_swarm, robot
from support import REPOSITORY

pytest.importorskip("jaxmarl", reason="the extra smax is not installed")

CONFIGS = sorted((REPOSITORY / "config").glob("smax_*.yaml"))
STALKERS = REPOSITORY / "config/smax_2s3z.yaml"
TINY = {
    "expert.envs": 4, "expert.steps": 10, "expert.iterations": 2, "expert.actor.hidden": [16],
    "expert.critic.hidden": [16], "distill.rounds": 2, "distill.envs": 4, "distill.steps": 5, "distill.updates": 5,
    "distill.final_updates": 5, "distill.polish.rounds": 1,
    "task.max_steps": 12, "task.observations.student": {"allies": 2, "enemies": 3},
    "evaluate.episodes": 8, "evaluate.envs": 4,
}  # fmt: skip
OVERRIDES = [f"{key}={json.dumps(value)}" for key, value in TINY.items()]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_shipped_files_have_students_that_are_small_enough(path):
    experiment = Experiment.load(path)
    assert path.stem == f"smax_{experiment.task.scenario}"
    env = experiment.env(1)
    expert = make_policy(experiment.expert.policy, env.groups, experiment.expert.actor)
    students = make_students(experiment.distill, env.groups)
    assert all(expert.macs(group.name) >= 28.6 * students.macs(group.name) for group in env.groups)
    assert f"{expert.macs(env.groups[0].name):,}" in path.read_text()


def test_what_does_not_fit_is_refused():
    with pytest.raises(KdmarlError, match="unknown robot type 'stalkr'; did you mean 'stalker'"):
        Experiment.load(STALKERS, ["distill.students.stalkr={}"])
    with pytest.raises(KdmarlError, match="unknown scenario '3s3z'; did you mean"):
        Experiment.load(STALKERS, ["task.scenario=3s3z"])
    experiment = Experiment.load(STALKERS)
    with pytest.raises(KdmarlError, match="test_swarm.yaml: places robots, and task smax_2s3z has none"):
        experiment.env(1, make_swarm([robot()]))


def test_runs_depend_on_the_views_that_they_use():
    plain, limited = (Experiment.load(STALKERS, overrides) for overrides in ([], OVERRIDES[-3:]))
    assert plain.facts("expert") == limited.facts("expert")
    assert plain.facts("student") != limited.facts("student")


def test_students_are_planned(capsys):
    budgets = ["--budget", "stalker={macs: 3000}", "--budget", "zealot={macs: 2000}"]
    app(["plan", "--experiment", str(STALKERS), *budgets], standalone_mode=False)
    printed = capsys.readouterr().out
    assert "of at most 3,000 MACs" in printed
    assert "of at most 2,000 MACs" in printed
    with pytest.raises(KdmarlError, match="smax_2s3z.yaml: its agents are not types of .*robots.yaml; leave that out"):
        app(["plan", str(REPOSITORY / "config/robots.yaml"), "--experiment", str(STALKERS)], standalone_mode=False)


def test_the_whole_chain_and_no_file_ever_chooses_what_is_not_available(tmp_path, capsys):
    output, models = ["--output", str(tmp_path / "run")], ["--models", str(tmp_path / "models")]
    sets = [part for override in OVERRIDES for part in ("--set", override)]
    for command in (["train"], ["distill"], ["export", *models], ["evaluate", "--record", *models]):
        app([command[0], str(STALKERS), *output, *command[1:], *sets], standalone_mode=False)
    printed = capsys.readouterr().out
    assert "smax_2s3z of jaxmarl" in printed
    assert "won" in printed
    assert "at goal" not in printed
    rows = json.loads((tmp_path / "run/evaluation.json").read_text())["rows"]
    assert {(row["team"], row["robot_type"]) for row in rows} == {
        (team, kind) for team in ("expert", "students", "random") for kind in ("team", "stalker", "zealot")
    }
    policies = {kind: Policy.load(tmp_path / f"models/smax_2s3z_{kind}.onnx") for kind in ("stalker", "zealot")}
    found = next(row for row in rows if (row["team"], row["robot_type"]) == ("students", "zealot"))
    results = policies["zealot"].manifest.results
    assert results.win_rate.mean == found["win_rate"]["mean"]
    assert results.return_.mean == found["return"]["mean"]
    app(["inspect", str(policies["zealot"].path)], standalone_mode=False)
    assert "won" in capsys.readouterr().out
    env = Experiment.load(STALKERS, OVERRIDES).env(4)
    act = episodes.PolicyFiles(policies)
    masked = []

    def watched(env: BatchedEnv) -> dict[str, np.ndarray]:
        commands = act(env)
        for name, seen in env.observe(STUDENT).items():
            available = seen[..., -10:]
            assert np.take_along_axis(available, commands[name].astype(int), -1).all()
            masked.append((available == 0).mean())
        return commands

    figures = episodes.run(env, watched, 12, seed=3)
    assert figures["return"].shape == (12, 5)
    assert np.mean(masked) > 0.2
