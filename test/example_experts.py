"""What the tests of the examples with experts from elsewhere share: a copy of an example, its commands, cut short."""

import importlib.util
import json
import shutil

import numpy as np

from kdmarl_core.cli.main import app
from kdmarl_core.envs.base import EXPERT
from kdmarl_core.experiment import Experiment
from kdmarl_core.expert.foreign import load_foreign
from kdmarl_core.expert.policies import greedy
from kdmarl_core.runtime import Policy
from support import REPOSITORY

TINY = {
    "expert.critics.network": {"hidden": [16]}, "expert.critics.envs": 4, "expert.critics.iterations": 2,
    "distill.envs": 4, "distill.rounds": 2, "distill.steps": 5, "distill.updates": 5, "distill.final_updates": 5,
    "distill.polish": {"rounds": 1, "steps": 5}, "distill.students.agent": {"hidden": [8]},
    "evaluate.episodes": 4, "evaluate.envs": 2,
}  # fmt: skip


def copy_of(example, folder):
    """A copy of an example's files in ``folder``; returns its experiment file."""
    shutil.copytree(REPOSITORY / "examples" / example, folder, dirs_exist_ok=True)
    return folder / "spread.yaml"


def script(path, name):
    """A script of an example, as a module of that name."""
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def settings(changes):
    """As ``--set`` takes them."""
    return [f"{key}={json.dumps(value)}" for key, value in changes.items()]


def chain(path, changes=None):
    """Every command of an example's README, as a user gives it; the expert's and the students' row, and a policy."""
    folder = path.parent
    output, models = ["--output", str(folder / "run")], ["--models", str(folder / "models")]
    overrides = [part for setting in settings(TINY | (changes or {})) for part in ("--set", setting)]
    for command, *options in (["distill"], ["export", *models], ["evaluate", "--record", *models]):
        app([command, str(path), *output, *options, *overrides], standalone_mode=False)
    rows = json.loads((folder / "run/evaluation.json").read_text())["rows"]
    expert, student = (
        next(row for row in rows if (row["team"], row["robot_type"]) == (team, "agent"))
        for team in ("expert", "students")
    )
    (policy,) = (folder / "models").glob("*.onnx")
    return expert, student, Policy.load(policy)


def decided(path, changes=None):
    """What the agents of some copies see, (M, O), and what the expert does, (M, A)."""
    experiment = Experiment.load(path, settings(changes or {}))
    env = experiment.env(20)
    env.reset(1)
    seen = env.observe(EXPERT)["agent"].copy()
    commands = greedy(load_foreign(experiment.expert, env, path.parent))(env)["agent"]
    return seen.reshape(-1, seen.shape[-1]), np.asarray(commands).reshape(-1, commands.shape[-1])
