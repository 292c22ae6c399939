"""examples/parking: a task of one file outside of the package, from training to robots in MuJoCo."""

import json
import os
import subprocess
import sys

import pytest

from kdmarl_core.contract import KdmarlError
from kdmarl_core.experiment import Experiment
from node_process import DOMAIN
from support import REPOSITORY

PARKING = REPOSITORY / "examples/parking/parking.yaml"
TINY = {
    "expert.envs": 8, "expert.steps": 10, "expert.iterations": 2, "expert.actor.hidden": [8], "distill.envs": 4,
    "distill.rounds": 1, "distill.steps": 5, "distill.updates": 2, "distill.final_updates": 2,
    "distill.polish.rounds": 1, "evaluate.episodes": 4, "evaluate.envs": 2, "task.max_steps": 20,
}  # fmt: skip
OVERRIDES = [part for key, value in TINY.items() for part in ("--set", f"{key}={json.dumps(value)}")]


def run(*arguments, code=0):
    done = subprocess.run(
        [sys.executable, "-m", *map(str, arguments)], capture_output=True, text=True, timeout=120,
        env={**os.environ, "ROS_DOMAIN_ID": str(DOMAIN), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return done.stdout


def test_from_training_to_robots_in_mujoco(tmp_path):
    output, models = ["--output", tmp_path / "run"], ["--models", tmp_path / "models"]
    for command, *options in (["train"], ["distill"], ["export", *models], ["evaluate", *models]):
        run("kdmarl_core.cli", command, PARKING, *output, *options, *OVERRIDES)
    run("kdmarl_core.cli", "layouts", PARKING, "--count", 1, "--output", tmp_path / "arenas", *models)
    arena = tmp_path / "arenas/parking_000.yaml"
    judged = ["--duration", 2, "--lockstep", "--real-time-factor", 0, "--output", tmp_path / "judged"]
    run("kdmarl_ros.swarm_cli", arena, "--allow-outside", *judged, code=1)  # in two seconds nobody has parked
    summary = json.loads((tmp_path / "judged/summary.json").read_text())
    assert [robot["name"] for robot in summary["robots"]] == ["scout_1", "scout_2", "mini_1", "mini_2"]
    assert sum(robot["path_length"] for robot in summary["robots"]) > 0


def test_its_keys_are_checked_as_those_of_any_task():
    with pytest.raises(KdmarlError, match=r"\$.task: unknown key 'bai'; did you mean 'bay'"):
        Experiment.load(PARKING, ["task.bai=2"])
    with pytest.raises(KdmarlError, match=r"\$.task: bay is 2.0 m, and all take 8 m of a wall of 6.0 m; change it"):
        Experiment.load(PARKING, ["task.bay=2.0"])


def test_bays_are_apart_and_starts_are_free():
    env = Experiment.load(PARKING).env(50)
    for index in range(50):
        bays = env.goal[index][env.goal[index][:, 1].argsort()]
        assert (bays[1:, 1] - bays[:-1, 1] > 0.99).all()
        assert (env.pose[index, :, 0] < 0).all()
    assert (env.gap >= 0).all()
