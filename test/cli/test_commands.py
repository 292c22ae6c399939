"""The ``kdmarl`` command as a user runs it: the whole chain in small, and every kind of bad input."""

import json
import re
import shutil
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from unittest.mock import patch

import msgspec
import pytest
import torch

from kdmarl_core.cli import main
from kdmarl_core.contract import KdmarlError, load_swarm
from kdmarl_core.envs.base import STUDENT
from kdmarl_core.evaluate import episodes
from kdmarl_core.experiment import evaluation, stages
from kdmarl_core.experiment.experiment import Experiment
from kdmarl_core.expert.policies import observe
from kdmarl_core.expert.train import load_policy
from kdmarl_core.export import onnx_export
from kdmarl_core.runtime import Policy
from support import REPOSITORY, write_policy

CONFIG = REPOSITORY / "config/navigation.yaml"
TINY = {
    "expert.envs": 4, "expert.steps": 10, "expert.iterations": 20, "expert.ppo.epochs": 1, "expert.actor.hidden": [16],
    "expert.critic.hidden": [16], "distill.rounds": 2, "distill.envs": 4, "distill.steps": 5, "distill.updates": 5,
    "distill.final_updates": 5, "distill.polish.rounds": 1, "distill.students.mini.hidden": [32, 32],
    "task.max_steps": 20,    "evaluate.episodes": 6, "evaluate.envs": 3,
}  # fmt: skip
REMEDY = "free the disk or choose another folder"
ASSIGNMENTS = [f"{key}={json.dumps(value)}" for key, value in TINY.items()]
OVERRIDES = [part for assignment in ASSIGNMENTS for part in ("--set", assignment)]


def process(*arguments, blocked=()) -> subprocess.CompletedProcess:
    """Run the command as users do; ``blocked`` modules cannot be imported."""
    block = "".join(f"sys.modules[{name!r}] = None;" for name in blocked)
    program = f"import sys; {block} from kdmarl_core.cli import main; sys.argv[0] = 'kdmarl'; main()"
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True, timeout=300
    )


def kdmarl(*arguments) -> subprocess.CompletedProcess:
    """Run the command in this process, where everything is imported."""
    with (
        patch.object(sys, "argv", ["kdmarl", *map(str, arguments)]),
        redirect_stdout(StringIO()) as out,
        redirect_stderr(StringIO()) as err,
        pytest.raises(SystemExit) as end,
    ):
        main()
    return subprocess.CompletedProcess(arguments, end.value.code, out.getvalue(), err.getvalue())


def check(done: subprocess.CompletedProcess) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run folder with a trained expert, students and policy files."""
    folder = tmp_path_factory.mktemp("run")
    here = ["--output", folder / "run", *OVERRIDES]
    check(process("train", CONFIG, *here))
    check(process("distill", CONFIG, *here))
    out = check(process("export", CONFIG, *here, "--models", folder / "models"))
    assert "differs from its network by at most" in out
    assert re.search(r"mini: 2,\d+ MACs, over its budget of 2,000 MACs in .*robots.yaml; find sizes", out)
    assert "scout: " not in out  # within its budget
    return folder


def test_the_whole_chain(run):
    here = ["--output", run / "run", "--models", run / "models", *OVERRIDES]
    assert "unmeasured" not in check(kdmarl("evaluate", CONFIG, *here, "--record"))
    written = json.loads((run / "run/evaluation.json").read_text())
    assert written["command"].startswith(f"kdmarl evaluate {CONFIG} --output")
    rows = written["rows"]
    assert {row["team"] for row in rows} == {"expert", "students", "still", "random"}
    assert {row["robot_type"] for row in rows} == {"team", "scout", "carrier", "mini"}
    assert all(row["episodes"] == 6 for row in rows)
    expert = next(row for row in rows if row["team"] == "expert" and row["robot_type"] == "team")
    assert expert["retention"]["mean"] == 1.0
    manifest = json.loads(check(kdmarl("inspect", run / "models/navigation_mini.onnx", "--json")))
    assert manifest["results"]["episodes"] == 6
    inputs = Policy.load(run / "models/navigation_mini.onnx").manifest.observation_size
    assert manifest["results"]["macs"] == inputs * 32 + 32 * 32 + 32 * 2
    assert manifest["robot_type"] == "mini"
    assert str(run) not in json.dumps(manifest["provenance"])


def test_students_of_another_expert_are_reported(run, tmp_path):
    shutil.copytree(run / "models", tmp_path / "models")
    path = tmp_path / "models/navigation_mini.onnx"
    manifest = Policy.load(path).manifest
    origin = msgspec.structs.replace(manifest.provenance, expert_sha256="f" * 64)
    onnx_export.record_results(path, msgspec.structs.replace(manifest, provenance=origin))
    here = ["--output", run / "run", "--models", tmp_path / "models", *OVERRIDES]
    sentence = f"{path}: distilled from a different expert than this run's"
    assert f"{sentence}: retention compares them with this one\n" in check(kdmarl("evaluate", CONFIG, *here))
    done = kdmarl("evaluate", CONFIG, *here, "--record")
    assert (done.returncode, done.stderr) == (
        2, f"kdmarl: --record: {sentence}; distil and export them from this one, or leave --record out\n"
    )  # fmt: skip


def test_a_finished_training_has_nothing_left_to_do(run):
    before = (run / "run/expert/checkpoint.safetensors").read_bytes()
    check(kdmarl("train", CONFIG, "--output", run / "run", *OVERRIDES))
    assert (run / "run/expert/checkpoint.safetensors").read_bytes() == before


def test_what_cannot_be_written_is_one_sentence_and_nothing_is_lost(run, tmp_path):
    shutil.copytree(run / "run", tmp_path / "run")
    config = tmp_path / "run/expert/config.yaml"
    config.unlink()
    config.mkdir()
    done = kdmarl("train", CONFIG, "--output", tmp_path / "run", *OVERRIDES)
    assert done.returncode == 2
    assert done.stderr == f"kdmarl: {config}: cannot be written (Is a directory); {REMEDY}\n"
    config.rmdir()
    check(kdmarl("train", CONFIG, "--output", tmp_path / "run", *OVERRIDES))
    for name in ("config.yaml", "checkpoint.safetensors"):
        assert (config.parent / name).read_bytes() == (run / "run/expert" / name).read_bytes()


def test_random_arenas_become_swarm_files(run):
    check(kdmarl("layouts", CONFIG, "--output", run / "arenas", "--models", run / "models", "--count", "3"))
    swarms = [load_swarm(path, allow_outside=True) for path in sorted((run / "arenas").glob("*.yaml"))]
    assert [len(swarm.robots) for swarm in swarms] == [6, 6, 6]
    assert swarms[0].robots[0].pose != swarms[1].robots[0].pose
    done = kdmarl("evaluate", CONFIG, "--output", run / "run", "--models", run / "models", *OVERRIDES,
                  "--swarm", swarms[1].path, "--swarm", swarms[2].path)  # fmt: skip
    assert "12 held-out episodes in 2 arenas" in check(done)


def test_what_belongs_to_another_experiment_is_refused(run):
    for name in ("scout", "carrier", "mini"):
        write_policy(run / f"others/navigation_{name}.onnx", name)
    done = kdmarl("evaluate", CONFIG, "--output", run / "run", "--models", run / "others", *OVERRIDES)
    assert done.returncode == 2
    assert "was made for different observations" in done.stderr
    done = kdmarl("distill", CONFIG, "--output", run / "run", *OVERRIDES, "--set", "task.goal_tolerance=0.5")
    assert done.returncode == 2
    assert "expert/checkpoint.safetensors: was made with task.goal_tolerance = 0.3 (now 0.5); set that" in done.stderr
    for change, difference in (
        ("distill.rounds=3", "distill.rounds = 2 (now 3)"),
        ("task.goal_tolerance=0.5", "task.goal_tolerance = 0.3 (now 0.5)"),
        ("task.observations.student.mini=[{term: goal, range: 5}]", "task.observations.student.mini[0]."),
    ):
        with pytest.raises(KdmarlError, match=re.escape(f"students.safetensors: was made with {difference}")):
            stages.export(Experiment.load(CONFIG, [*ASSIGNMENTS, change]), run / "models", run / "run")


def test_other_students_need_no_other_expert(run, tmp_path):
    shutil.copytree(run / "run", tmp_path / "run")
    fewer = Experiment.load(CONFIG, [*ASSIGNMENTS, "task.observations.student.mini=[{term: goal, range: 5}]"])
    stages.distill(fewer, tmp_path / "run")
    stages.export(fewer, tmp_path / "models", tmp_path / "run")
    assert Policy.load(tmp_path / "models/navigation_mini.onnx").manifest.observation_size == 3


def test_a_policy_trained_directly_is_measured_beside_the_students(run, tmp_path):
    own = [*ASSIGNMENTS, "expert.policy=decentralized", "expert.view=student"]
    stages.train(Experiment.load(CONFIG, own), tmp_path / "own")
    check(kdmarl("evaluate", CONFIG, "--output", run / "run", "--models", run / "models", *OVERRIDES,
                 "--direct", tmp_path / "own"))  # fmt: skip
    written = json.loads((run / "run/evaluation.json").read_text())["rows"]
    rows = {row["robot_type"]: row for row in written if row["team"] == "direct"}
    assert set(rows) == {"team", "scout", "carrier", "mini"}
    experiment = Experiment.load(CONFIG, own)
    env = experiment.env(3)
    policy = load_policy(experiment.expert, env, tmp_path / "own/expert", 1, experiment.facts(STUDENT))
    assert [rows[group.name]["macs"] for group in env.groups] == [policy.macs(group.name) for group in env.groups]

    def act(env):
        with torch.no_grad():
            seen = observe(env, STUDENT).items()
            return {name: policy.actor(name).greedy(observation).numpy() for name, observation in seen}

    figures = episodes.run(env, act, 6, experiment.evaluate.seed)
    assert rows["team"]["return"]["mean"] == pytest.approx(figures["return"].mean())
    assert rows["team"]["return"]["mean"] != next(row for row in written if row["team"] == "expert")["return"]["mean"]


def test_what_was_not_trained_directly_on_this_task_is_refused(run, tmp_path):
    other = ["expert.policy=decentralized", "expert.view=student", "task.reward.progress=3.0"]
    stages.train(Experiment.load(CONFIG, [*ASSIGNMENTS, *other]), tmp_path / "other")
    for folder, message in (
        (tmp_path / "gone", "--direct .*gone: has no trained policy; give the --output of"),
        (run / "run/students", "students: has no trained policy"),
        (run / "run", "run: its policy has the expert view; train it with expert.view=student"),
        (
            tmp_path / "other",
            r"other/expert/checkpoint.safetensors: was made with task.reward.progress = 3.0 \(now 2.0\)",
        ),
    ):
        with pytest.raises(KdmarlError, match=message):
            evaluation.evaluate(Experiment.load(CONFIG, ASSIGNMENTS), run / "models", run / "run", direct=folder)


def test_inspect_needs_no_training_libraries(tmp_path):
    path = write_policy(tmp_path / "p.onnx", "scout")
    blocked = ("torch", "onnx", "numba", "safetensors", "tensorboard", "rclpy")
    out = check(process("inspect", path, blocked=blocked))
    assert "goal_seeker_scout" in out
    done = process("train", CONFIG, blocked=("torch",))
    assert done.returncode == 2
    assert done.stderr == "kdmarl: 'torch' is not installed; this command needs: pip install 'kdmarl_ros[train]'\n"


def test_inspect_shows_what_a_file_says_and_does_nothing_else(tmp_path):
    path = write_policy(tmp_path / "p.onnx", edit_manifest=lambda m: m.update(name="[/red] \x1b[2J \n [blink]x"))
    out = check(kdmarl("inspect", path))
    assert "[/red]" in out
    assert "[blink]x" in out
    assert "\x1b" not in out


def test_inspect_tells_what_a_holonomic_robot_is_commanded(tmp_path):
    out = check(kdmarl("inspect", write_policy(tmp_path / "p.onnx", "omni")))
    out = " ".join(out.replace("│", " ").split())
    assert "holonomic, -0.5 to 0.6 m/s, -0.5 to 0.5 m/s, -2 to 2 rad/s" in out
    assert "velocity 3, previous_action 3" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing command"),
        (["trian"], "Did you mean 'train'"),
        (["train"], "Missing argument"),
        (["bench", "envs", "--rounds", "0"], "--rounds"),
        (["layouts", CONFIG, "--output", CONFIG], "cannot be written"),
        (["train", CONFIG, "--output", CONFIG], "navigation.yaml/expert/metrics.jsonl: cannot be written"),
        (["bench", "envs", "--seconds", "0.1", "--rounds", "1", "--json", CONFIG / "x"], "cannot be written"),
        (["train", "gone.yaml"], "gone.yaml: no such file"),
        (["train", CONFIG, "--set", "expert.iteration=1"], "did you mean 'iterations'"),
        (["distill", CONFIG, "--output", "empty"], "no such checkpoint; train first"),
        (["export", CONFIG, "--output", "empty"], "no such checkpoint; distill first"),
        (["inspect", "gone.onnx"], "no such file"),
        (["inspect", CONFIG], "navigation.yaml"),
        (["evaluate", CONFIG, "--swarm", "gone.yaml"], "gone.yaml: no such file"),
        (["bench", "envs", "--vmas", "/nowhere/python", "--seconds", "0.1", "--rounds", "1"], "cannot be started"),
    ],
)
def test_bad_input_ends_with_one_sentence(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    done = kdmarl(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("kdmarl: ")
