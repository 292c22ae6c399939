"""``kdmarl pack`` as a user runs it."""

import os
import subprocess
import sys

import pytest

from foreign_networks import describe, linear, weights
from kdmarl_core.runtime import Policy
from support import ROBOT_TYPES


def kdmarl(*arguments, cwd, blocked=("torch",)) -> subprocess.CompletedProcess:
    """Run the command as users do; ``blocked`` modules cannot be imported."""
    block = "".join(f"sys.modules[{name!r}] = None;" for name in blocked)
    program = f"import sys; {block} from kdmarl_core.cli import main; sys.argv[0] = 'kdmarl'; main()"
    command = [sys.executable, "-c", program, *map(str, arguments)]
    environment = os.environ | {"COLUMNS": "160"}
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=120)


@pytest.fixture
def network(tmp_path):
    return linear(tmp_path / "actor.onnx", 3 * weights(), shape=("batch", 43))


def test_packs_and_tells_what_it_made(tmp_path, network):
    description = describe(tmp_path, name="patrol")
    done = kdmarl("pack", network, "--manifest", description, "--robots", ROBOT_TYPES, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    path = tmp_path / "models/patrol.onnx"
    assert Policy.load(path).manifest.robot_type == "scout"
    said = " ".join(done.stdout.replace("│", " ").split())
    for words in (
        f"models/patrol.onnx ({path.stat().st_size} bytes)",
        "made from actor.onnx, written by hand",
        "43 values from lidar 36, goal 3, velocity 2, previous_action 2, to 'obs', float32 [batch, 43]",
        "-0.3 to 0.8 m/s, -2 to 2 rad/s, from 'actions', float32 [1, 2], times 0.55 plus 0.25 m/s and times 2 plus 0",
        "1001 observations; differs from the network by",
        "% of the commands for random observations",
        "86 MACs, ",
    ):
        assert words in said, (words, said)

    shown = kdmarl("inspect", path, cwd=tmp_path, blocked=("torch", "onnx"))
    said = " ".join(shown.stdout.replace("│", " ").split())
    assert shown.returncode == 0, shown.stderr
    assert "patrol (task unknown, schema 1)" in said
    assert "packed from actor.onnx (sha256 " in said
    assert "), written by hand" in said
    assert "seed" not in said


def test_a_budget_that_is_exceeded_is_reported(tmp_path, network):
    robots = tmp_path / "robots.yaml"
    robots.write_text(ROBOT_TYPES.read_text().replace("{macs: 3000}", "{macs: 80}"))
    done = kdmarl("pack", network, "--manifest", describe(tmp_path), "--robots", robots, cwd=tmp_path)
    assert "86 MACs (over the budget of 80 in the robot types)" in " ".join(done.stdout.replace("│", " ").split())


def test_errors_are_one_sentence_and_leave_nothing(tmp_path, network):
    robots = ("--robots", ROBOT_TYPES)
    manifest = ("--manifest", tmp_path / "manifest.yaml")
    for changes, arguments, sentence in (
        ({"robot_type": "scut"}, (network, *manifest, *robots), "robot_type 'scut' is not in"),
        ({"clip": False}, (network, *manifest, *robots), "set 'clip: true'"),
        ({}, (network, *manifest), "config/robots.yaml: no such file; check the path"),
        ({}, (tmp_path / "no.onnx", *manifest, *robots), "no.onnx: no such file"),
        ({}, (network,), "Missing option '--manifest'"),
    ):
        describe(tmp_path, **changes)
        done = kdmarl("pack", *arguments, cwd=tmp_path)
        assert done.returncode == 2
        assert done.stdout == ""
        assert sentence in done.stderr
        assert done.stderr.startswith("kdmarl: ")
        assert done.stderr.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["actor.onnx", "manifest.yaml"]


def test_without_onnx_it_says_what_to_install(tmp_path, network):
    arguments = (network, "--manifest", describe(tmp_path), "--robots", ROBOT_TYPES)
    done = kdmarl("pack", *arguments, cwd=tmp_path, blocked=("torch", "onnx"))
    assert done.returncode == 2
    assert done.stderr == "kdmarl: 'onnx' is not installed; this command needs: pip install onnx\n"
