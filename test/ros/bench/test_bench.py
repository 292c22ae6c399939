"""kdmarl-swarm bench: what it counts, and a short run of the real thing."""

import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest

from kdmarl_ros import swarm_cli
from kdmarl_ros.bench import report as bench_report
from kdmarl_ros.bench.body import match
from kdmarl_ros.bench.usage import cpu_seconds, memory
from node_process import DOMAIN
from sim_support import robot, write_swarm


def test_each_moment_is_answered_by_the_first_command_before_the_next():
    due = np.array([0, 100, 200, 300, 400]) * 1_000_000
    commands = np.array([-5, 10, 30, 150, 330, 410]) * 1_000_000
    answers = match(due, commands)
    np.testing.assert_allclose(answers.latencies, [0.010, 0.050, 0.030])
    assert (answers.due, answers.lost) == (4, 1)


def test_without_commands_all_is_lost():
    assert match(np.arange(5), np.array([], np.int64)).lost == 4


def test_usage_of_a_process_is_what_it_takes():
    program = "import time; x = bytearray(50_000_000)\nwhile time.process_time() < 0.5: pass\nprint(flush=True)"
    program += "\ntime.sleep(9)"
    with subprocess.Popen([sys.executable, "-S", "-c", program], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        used, taken = cpu_seconds([process.pid]), memory([process.pid])
        process.kill()
    assert used == pytest.approx(0.5, abs=0.1)
    assert 50 < taken.pss <= taken.rss < 80


def test_the_section_takes_the_place_of_its_predecessor_and_leaves_the_rest(tmp_path):
    page = tmp_path / "runtime.md"
    row = {"robots": 1, "latency_ms": {"p50": 1.0, "p99": 2.0, "p99.9": 3.0}, "cpu_s_per_1000": 2.0, "rss_mb": 90.0}
    row |= {"pss_mb": 50.0, "lost": 0, "cycles": 9, "missed_deadlines": 0, "start_s": 1.0}
    double = {"latency_ms": {"p50": 2.0, "p99": 2.0, "p99.9": 3.0}, "case": "policy node, one process"}
    results = {"command": "one_run", "policy": "p", "period_s": 0.1, "machine": "m", "load": [0.0] * 3}
    results |= {
        "imports": {"rss": 60.0, "pss": 30.0},
        "session": {"rss": 90.0, "pss": 50.0},
        "rows": [row | {"case": "bare node"}, row | double],
        "simulated": [
            {"robots": 4, "case": "c", "driving": 3, "seconds": 9.0, "real_time_factor": 0.5, "cores": 1.5}
            | {"missed_deadlines": 2, "stops": 5}
        ],
        "swaps": None,
    }
    page.write_text("# Run time\n\nabove\n")
    bench_report.renew(page, results)
    bench_report.renew(page, results | {"command": "another_run"})
    text = page.read_text()
    assert "above" in text
    assert "one_run" not in text
    assert text.count("another_run") == 1
    assert "| 4 | c | 3 | 9 | 0.500 | 1.50 | 2 | 3 |" in text
    assert "| 1 | policy node, one process | 2.00 | 1.00 | 1.00 | 1.50 | 1.00 |" in text


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nothing.yaml"], "no such file"),
        (["nothing.yaml", "--robots", "1,many"], "--robots is '1,many'; give numbers from 1 to 99"),
        (["nothing.yaml", "--simulate", "1,2"], "--simulate is '1,2'; give seconds, one number for all or 3"),
        (["nothing.yaml", "--simulate", "inf"], "--simulate is 'inf'; give seconds"),
        ([], "SWARM.yaml"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_two(capsys, arguments, sentence):
    assert swarm_cli.main(["bench", *arguments]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1


def test_a_swarm_without_a_lidar_cannot_be_measured(capsys, tmp_path):
    path = write_swarm(tmp_path, [robot("mini_1", "mini")], world=None)
    assert swarm_cli.main(["bench", str(path)]) == 2
    assert "has no robot with a lidar and a goal to measure" in capsys.readouterr().err


def test_a_short_run(tmp_path):
    path = write_swarm(tmp_path, [robot()], world=None)
    command = [sys.executable, "-m", "kdmarl_ros.swarm_cli", "bench", str(path), "--robots", "1", "--rounds", "1"]
    command += ["--seconds", "2", "--swaps", "100", "--simulate", "3", "--output", str(tmp_path / "bench.json")]
    began = time.monotonic()
    completed = subprocess.run(
        command, env={**os.environ, "ROS_DOMAIN_ID": str(DOMAIN)}, capture_output=True, text=True, timeout=100
    )
    assert completed.returncode == 0, completed.stderr
    results = json.loads((tmp_path / "bench.json").read_text())
    assert len(results["rows"]) == 5
    for row in results["rows"]:
        assert 10 < row["cycles"] < 25
        assert row["lost"] < row["cycles"] / 2
        assert 0 < row["latency_ms"]["p50"] < 100
        assert 0 < row["cpu_s_per_1000"] < 100
        assert row["rss_mb"] > results["imports"]["rss"] / 2
        assert 0 < row["start_s"] < time.monotonic() - began
    assert [row["case"] for row in results["simulated"]] == ["policy node, a process each", "policy node, one process"]
    assert all(0.2 < row["real_time_factor"] < 1.5 for row in results["simulated"])
    assert results["imports"]["rss"] < results["session"]["rss"]
    assert results["swaps"]["swaps"] == 100
    assert results["swaps"]["refused"] == 0
    assert results["swaps"]["cycles"] > 0
    assert "bare node" in (tmp_path / "runtime.md").read_text()
