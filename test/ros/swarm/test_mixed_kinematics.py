"""The shipped policies in one arena: robots that move any way among differential drives."""

import json
import os
import subprocess
import sys

from node_process import DOMAIN
from sim_support import CROSSING


def test_robots_of_both_kinematics_reach_their_goals(tmp_path):
    options = ["--duration", "30", "--lockstep", "--real-time-factor", "0", "--processes", "host"]
    done = subprocess.run(
        [sys.executable, "-m", "kdmarl_ros.swarm_cli", CROSSING.with_name("omni.yaml"), *options, "--output", tmp_path],
        capture_output=True, text=True, timeout=100, env={**os.environ, "ROS_DOMAIN_ID": str(DOMAIN)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert {robot["type"] for robot in summary["robots"]} == {"omni", "scout", "carrier", "mini"}
    assert summary["totals"]["goals_reached"] == 6
