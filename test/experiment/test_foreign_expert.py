"""Experts that kdmarl did not train, from the command line alone: critics, students, policy files, retention."""

import json
import shutil

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from kdmarl_core.benchmark.suite import load_suite, units
from kdmarl_core.cli.main import app
from kdmarl_core.contract import KdmarlError
from kdmarl_core.experiment import Experiment, distill
from kdmarl_core.expert import fingerprint
from kdmarl_core.expert.critics import fit_critics
from kdmarl_core.expert.foreign import given
from kdmarl_core.runtime import Policy
from support import REPOSITORY, write_linear

CRITICS = {"network": {"hidden": [16]}, "envs": 4, "steps": 10, "iterations": 2}
DISTILL = {"rounds": 2, "envs": 4, "steps": 5, "updates": 5, "final_updates": 5, "polish": {"rounds": 1, "steps": 5}}
VIEWS = {"expert": {}, "student": {}}
SPREAD = {
    "task": {"kind": "particle", "scenario": "simple_spread", "agents": 3, "observations": VIEWS},
    "distill": {**DISTILL, "students": {"agent": {"hidden": [8]}}},
    "evaluate": {"episodes": 4, "envs": 2},
}  # fmt: skip
CONTROLLER = '''
from kdmarl_core.contract.terms import Goal

class ToGoal:
    """Every robot turns to its goal and drives."""

    def __init__(self, groups, speed=0.8):
        self.speed = speed
        self.goal = {}
        for group in groups:
            self.goal |= {group.name: at for term, at in group.places("expert") if isinstance(term, Goal)}

    def __call__(self, observation):
        commands = {}
        for name, seen in observation.items():
            command = seen[..., self.goal[name]][..., 1:] * [self.speed, 1.5]
            commands[name] = command
        return commands
'''


def written(folder, **parts):
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(SPREAD | parts))
    return path


def chain(path, folder, commands=("train", "distill", "export", "evaluate")):
    """Commands as a user gives them."""
    for command in commands:
        models = ["--models", str(folder / "models")] if command in ("export", "evaluate") else []
        record = ["--record"] if command == "evaluate" else []
        app([command, str(path), "--output", str(folder / "run"), *models, *record], standalone_mode=False)


@pytest.fixture
def spread(tmp_path):
    write_linear(tmp_path / "expert.onnx", np.random.default_rng(0).normal(size=(18, 5)))
    return written(tmp_path, expert={"from": "expert.onnx", "critics": CRITICS})


def test_an_onnx_expert(spread, tmp_path, capsys):
    chain(spread, tmp_path)
    out = " ".join(capsys.readouterr().out.split())
    assert "fitting the critics that distill.polish needs to its returns, 80 environment steps" in out
    assert "agent: its critic explains" in out
    rows = json.loads((tmp_path / "run/evaluation.json").read_text())["rows"]
    expert = next(row for row in rows if (row["team"], row["robot_type"]) == ("expert", "agent"))
    assert expert["macs"] == 18 * 5
    policy = Policy.load(tmp_path / "models/simple_spread_agent.onnx")
    assert policy.manifest.provenance.expert == "from expert.onnx"
    assert policy.manifest.results.expert_macs == 90
    assert policy.manifest.provenance.expert_sha256 == fingerprint.sha256(Experiment.load(spread).expert_origin)


def test_critics_are_fitted_once_and_students_are_of_one_expert(spread, tmp_path, capsys):
    chain(spread, tmp_path, ["distill"])
    critics = tmp_path / "run/expert/critics.safetensors"
    before = critics.stat().st_mtime_ns
    assert "fitting the critics" in capsys.readouterr().out
    chain(spread, tmp_path, ["train", "distill"])
    assert critics.stat().st_mtime_ns == before
    assert "fitting the critics" not in capsys.readouterr().out
    write_linear(tmp_path / "expert.onnx", np.random.default_rng(1).normal(size=(18, 5)))
    with pytest.raises(KdmarlError, match=r"critics.safetensors: was made with expert.from.sha256 = .* --fresh"):
        chain(spread, tmp_path, ["distill"])
    with pytest.raises(KdmarlError, match=r"students.safetensors: was made with expert.from.sha256 = "):
        chain(spread, tmp_path, ["export"])


def test_a_controller_of_robots(tmp_path, capsys):
    (tmp_path / "controllers_of_a_test.py").write_text(CONTROLLER)
    shutil.copy(REPOSITORY / "config/robots.yaml", tmp_path)
    task = yaml.safe_load((REPOSITORY / "config/navigation.yaml").read_text())["task"]
    task |= {"team": {"scout": 2}, "max_steps": 20}
    students = {"scout": {"hidden": [8]}}
    path = written(
        tmp_path,
        task=task,
        distill={**DISTILL, "students": students, "polish": {"rounds": 0}},
        expert={"from": "controllers_of_a_test:ToGoal", "arguments": {"speed": 0.5}},
    )
    chain(path, tmp_path)
    out = " ".join(capsys.readouterr().out.split())
    assert "expert controllers_of_a_test:ToGoal: nothing to train" in out
    assert "MACs than the expert" not in out
    assert not (tmp_path / "run/expert/critics.safetensors").exists()
    policy = Policy.load(tmp_path / "models/navigation_scout.onnx")
    assert policy.manifest.results.expert_macs is None
    app(["inspect", str(policy.path)], standalone_mode=False)
    out = capsys.readouterr().out
    assert "from controllers_of_a_test:ToGoal" in out
    assert "than the expert's" not in out


def test_objects_from_python(tmp_path):
    torch.manual_seed(0)
    net = nn.Linear(18, 5)
    experiment = Experiment.load(written(tmp_path, expert={}))
    with pytest.raises(KdmarlError, match="polish.rounds is 1, but the expert has no critic for 'agent'.*fit_critics"):
        distill(experiment, tmp_path / "run", expert=net)
    assert not (tmp_path / "run").exists()
    own = Experiment.load(written(tmp_path, expert={"from": "torch.nn:Identity", "critics": CRITICS}))
    wrapped = given(net, own.env(1), own.expert)
    critics = fit_critics(own.env, wrapped, own.expert.critics)
    assert distill(experiment, tmp_path / "run", net, critics).macs("agent") == 18 * 8 + 8 * 5


def test_terms_of_features_are_refused_before_any_work(spread, tmp_path):
    for term in ("relation", "role"):
        experiment = Experiment.load(spread, [f"distill.loss.{term}=0.1"])
        with pytest.raises(KdmarlError, match=f"distill.loss.{term} is 0.1, but this expert, .*, has no features"):
            distill(experiment, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_benchmark_takes_an_expert_whose_costs_are_known(spread, tmp_path):
    suite = {
        "title": "t", "seeds": [1], "tasks": {"spread": {"config": "mine.yaml"}},
        "methods": {"kdmarl": {"ratio": 2.0}},
    }  # fmt: skip
    path = tmp_path / "suite.yaml"

    def planned(**changes):
        path.write_text(yaml.safe_dump(suite | changes))
        return units(load_suite(path), path)

    (unit,) = planned()
    assert unit.experiment.distill.students["agent"].hidden == (1, 1)
    with pytest.raises(
        KdmarlError, match="stage is scratch, .*expert.onnx was not trained by kdmarl; leave the method"
    ):
        planned(methods={"kdmarl": {}, "alone": {"stage": "scratch"}})
    (tmp_path / "costly_controllers.py").write_text(
        "def stay(seen):\n    return {'agent': 0 * seen['agent'][..., :1]}\n"
    )
    written(tmp_path, expert={"from": "costly_controllers:stay"})
    with pytest.raises(
        KdmarlError, match="compares MACs, but those of the expert from costly_controllers:stay are not"
    ):
        planned()


@pytest.mark.parametrize(
    ("expert", "message"),
    [
        ({"from": {"agnet": "expert.onnx"}}, "expert.from: unknown robot type 'agnet'; did you mean 'agent'"),
        ({"from": "expert.onnx", "policy": "shared"}, r"\$\.expert: unknown key 'policy'"),
        (3, r"\$\.expert: expected `object`, got `int`"),
        ({"from": "expert.onnx", "critics": {"gama": 1}}, r"\$\.expert\.critics: unknown key 'gama'; did you mean"),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_file_is_refused(tmp_path, expert, message):
    with pytest.raises(KdmarlError, match=message):
        Experiment.load(written(tmp_path, expert=expert))


def test_an_experiment_reads_back_as_it_was(spread, tmp_path):
    experiment = Experiment.load(spread)
    again = tmp_path / "again.yaml"
    again.write_text(yaml.safe_dump(experiment.data))
    assert Experiment.load(again).data == experiment.data
