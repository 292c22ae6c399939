"""``kdmarl new robot``: two robots of a type that nobody knew drive in MuJoCo, by a policy trained for them."""

import json
import os
import subprocess
import sys

from node_process import DOMAIN

TINY = {
    "expert.envs": 8, "expert.steps": 10, "expert.iterations": 2, "expert.actor.hidden": [8], "distill.envs": 4,
    "distill.rounds": 1, "distill.steps": 5, "distill.updates": 2, "distill.final_updates": 2,
    "distill.polish.rounds": 1, "task.max_steps": 20,
}  # fmt: skip
OVERRIDES = [part for key, value in TINY.items() for part in ("--set", f"{key}={json.dumps(value)}")]


def run(folder, *arguments, code=0):
    done = subprocess.run(
        [sys.executable, "-m", *map(str, arguments)], capture_output=True, text=True, timeout=120, cwd=folder,
        env={**os.environ, "ROS_DOMAIN_ID": str(DOMAIN), "ROS_HOME": str(folder), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def test_from_a_new_type_to_robots_in_mujoco(tmp_path):
    run(tmp_path, "kdmarl_core.cli", "new", "robot", "rover")
    folder = tmp_path / "rover"
    for command in ("train", "distill", "export"):
        run(folder, "kdmarl_core.cli", command, "rover_navigation.yaml", *OVERRIDES)
    assert "navigation_rover" in run(folder, "kdmarl_core.cli", "doctor", "rover_swarm.yaml")
    judged = ["--duration", 2, "--lockstep", "--real-time-factor", 0]
    run(folder, "kdmarl_ros.swarm_cli", "rover_swarm.yaml", *judged, code=1)  # in two seconds nobody has arrived
    summary = json.loads((folder / "runs/rover/summary.json").read_text())
    assert [robot["name"] for robot in summary["robots"]] == ["rover_1", "rover_2"]
    assert sum(robot["path_length"] for robot in summary["robots"]) > 0
