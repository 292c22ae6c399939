"""``kdmarl new``: what it writes works at once, and what is there already stays as it is."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys

import pytest
import yaml

from kdmarl_core.cli.main import app
from kdmarl_core.contract import KdmarlError
from sim_support import write_swarm
from support import REPOSITORY, ROBOT_TYPES

FILES = {
    "task": ["patrol.py", "patrol.yaml", "robots.yaml", "test_patrol.py"],
    "robot": ["patrol.yaml", "patrol_navigation.yaml", "patrol_swarm.yaml", "test_patrol.py"],
    "sensor": ["patrol.py", "patrol_topics.py", "test_patrol.py"],
}
TINY = {
    "expert.envs": 4, "expert.steps": 10, "expert.iterations": 1, "expert.actor.hidden": [8],
    "expert.critic.hidden": [8], "distill.envs": 4, "distill.rounds": 1, "distill.steps": 5, "distill.updates": 2,
    "distill.final_updates": 2, "distill.polish.rounds": 1, "task.max_steps": 10,
}  # fmt: skip
OVERRIDES = [part for key, value in TINY.items() for part in ("--set", f"{key}={json.dumps(value)}")]


@pytest.fixture(autouse=True)
def _forget(tmp_path):
    """Python must not find in another test the modules that one has written."""
    yield
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


every_kind = pytest.mark.parametrize("kind", FILES)


def kdmarl(*arguments):
    return app([str(argument) for argument in arguments], standalone_mode=False)


def run(arguments, cwd):
    """Run Python with ``arguments`` and give what it prints."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=300,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def everything(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_every_kind_is_tested():
    assert sorted(FILES) == sorted(path.name for path in (REPOSITORY / "kdmarl_core/cli/templates").iterdir())


@every_kind
def test_the_tests_that_are_written_pass_and_leave_nothing(kind, tmp_path):
    kdmarl("new", kind, "patrol", "--folder", tmp_path)
    out = run(["-m", "pytest", "-p", "no:cacheprovider", "test_patrol.py"], tmp_path / "patrol")
    assert "skipped" not in out
    assert everything(tmp_path / "patrol") == FILES[kind]


@every_kind
def test_the_commands_that_are_shown_work_at_once(kind, tmp_path, capsys, monkeypatch):
    folder = tmp_path / "my own" / "patrol"
    kdmarl("new", kind, "patrol", "--folder", folder.parent)
    assert everything(folder) == FILES[kind]
    title, commands = capsys.readouterr().out.split("\n\nnext:\n\n")
    assert title == f"{folder}: {', '.join(FILES[kind])}"
    entered, tested, *commands = [shlex.split(line) for line in commands.splitlines()]
    assert entered == ["cd", str(folder)]
    assert tested == ["pytest", "test_patrol.py"]
    monkeypatch.chdir(folder)
    for program, command, *arguments in commands:
        assert program == "kdmarl"
        kdmarl(command, *arguments, *(OVERRIDES if command in ("train", "distill") else []))
    assert (folder / "runs").is_dir() == bool(commands)


REGISTERED = """
import sys
import numpy as np
from kdmarl_core.contract import load_robot_types, load_swarm
from kdmarl_core.contract.sensors import Sensors
from kdmarl_core.mujoco.world import MujocoWorld
from kdmarl_ros.sensors import SENSOR_TOPICS

swarm = load_swarm(sys.argv[1])
seen = MujocoWorld(swarm).sense(swarm.robots[0].name, "patrol")
assert seen.shape == (8,) and (seen > 0).all()
assert SENSOR_TOPICS["patrol"].topics == ("patrol",) and list(SENSOR_TOPICS)[-1] == "patrol"
"""


def test_a_sensor_serves_once_it_is_where_its_files_say(tmp_path):
    for package in ("kdmarl_core", "kdmarl_ros"):
        shutil.copytree(REPOSITORY / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    kdmarl("new", "sensor", "patrol", "--folder", tmp_path)
    sensors = tmp_path / "kdmarl_core/contract/sensors"
    shutil.copy(tmp_path / "patrol/patrol.py", sensors)
    messages = (tmp_path / "patrol/patrol_topics.py").read_text()
    moved = messages.replace("from patrol import", "from kdmarl_core.contract.sensors.patrol import")
    (tmp_path / "kdmarl_ros/sensors/patrol.py").write_text(moved)
    text = (sensors / "__init__.py").read_text()
    text = text.replace("import msgspec\n", "import msgspec\n\nfrom kdmarl_core.contract.sensors.patrol import *\n", 1)
    text = re.sub("(AnySensorTerm = .*)", r"\1 | StripTerm", text)
    text = re.sub("(    point_cloud: .*)", r"\1\n    patrol: Strip | msgspec.UnsetType = msgspec.UNSET", text)
    (sensors / "__init__.py").write_text(text)
    swarm, types = write_swarm(tmp_path), yaml.safe_load(ROBOT_TYPES.read_text())
    types["scout"]["sensors"]["patrol"] = {"zones": 8, "range": 2.0}
    (tmp_path / ROBOT_TYPES.name).write_text(yaml.safe_dump(types))
    run(["-c", REGISTERED, swarm], tmp_path)


@every_kind
def test_what_is_written_is_neat(kind, tmp_path):
    kdmarl("new", kind, "patrol", "--folder", tmp_path)
    scripts = [path for path in (tmp_path / "patrol").iterdir() if path.suffix == ".py"]
    ruff = ["-m", "ruff", "--config", REPOSITORY / "pyproject.toml"]
    run([*ruff, "check", "--no-cache", *scripts], REPOSITORY)
    run([*ruff, "format", "--no-cache", "--check", *scripts], REPOSITORY)
    for path in (tmp_path / "patrol").iterdir():
        text = path.read_text(encoding="utf-8")
        assert "$" not in text
        assert max(map(len, text.splitlines())) <= 120, path


@pytest.mark.parametrize("name", ["goals", "swarm", "a1", "x_2_y"])
def test_any_module_name_will_do(tmp_path, name):
    kdmarl("new", "task", name, "--folder", tmp_path)
    kdmarl("layouts", tmp_path / name / f"{name}.yaml", "--count", "1", "--output", tmp_path / "arenas")
    arena = yaml.safe_load((tmp_path / f"arenas/{name}_000.yaml").read_text())
    assert arena["task"] == name
    assert list(arena["policies"].values()) == [os.path.relpath(f"models/{name}_scout.onnx", tmp_path / "arenas")]


@every_kind
def test_nothing_but_what_a_robot_has_is_needed(kind, tmp_path):
    blocked = "".join(f"sys.modules[{name!r}] = None;" for name in ("jinja2", "torch", "numba", "onnx", "rclpy"))
    program = f"import sys; {blocked} from kdmarl_core.cli import main; main()"
    run(["-c", program, "new", kind, "patrol"], tmp_path)
    assert everything(tmp_path / "patrol") == FILES[kind]


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("task", "my-task", "name 'my-task' does not consist of small letters .*; give another, such as my_task$"),
        ("task", "MyTask", "such as my_task$"),
        ("robot", "TB3 Burger", "such as tb3_burger$"),
        ("robot", "2nd", "such as nd$"),
        ("robot", "../up", "such as up$"),
        ("task", "Ω", "such as my_task$"),
        ("task", "", "such as my_task$"),
        ("task", "for", "name 'for' is a word of Python's own; give another, such as for_task$"),
        ("robot", "on", "name 'on' is not read as a word in YAML; give another, such as on_robot$"),
        ("task", "json", r"needs a file json.py, and Python has a module json already \(in its standard "),
        ("task", "Test", "does not consist of .* such as test_task$"),
        ("task", "test", "such as test_task$"),
        ("task", "yaml", r"a module yaml already \(.*yaml/__init__.py\); give another, such as yaml_task$"),
    ],
)
def test_names_that_cannot_be_are_refused(tmp_path, kind, name, message):
    with pytest.raises(KdmarlError, match=message):
        kdmarl("new", kind, name, "--folder", tmp_path)
    assert everything(tmp_path) == []


def test_a_robot_may_be_called_as_a_module(tmp_path):
    kdmarl("new", "robot", "json", "--folder", tmp_path)
    assert (tmp_path / "json/test_json.py").is_file()


@every_kind
def test_what_is_there_stays_and_nothing_is_added(kind, tmp_path):
    (tmp_path / "patrol").mkdir()
    (tmp_path / "patrol/notes.txt").touch()
    taken = [tmp_path / "patrol" / FILES[kind][0], tmp_path / "patrol/test_patrol.py"]
    taken[0].write_text("mine")
    taken[1].symlink_to("gone")
    with pytest.raises(KdmarlError) as refusal:
        kdmarl("new", kind, "patrol", "--folder", tmp_path)
    assert str(refusal.value) == (
        f"{taken[0]}, {taken[1]}: already there, and kept as it is; choose another name or --folder"
    )
    assert everything(tmp_path / "patrol") == ["notes.txt", FILES[kind][0], "test_patrol.py"]
    assert taken[0].read_text() == "mine"
    for path in taken:
        path.unlink()
    kdmarl("new", kind, "patrol", "--folder", tmp_path)
    assert everything(tmp_path / "patrol") == sorted(["notes.txt", *FILES[kind]])


def test_where_nothing_can_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(KdmarlError, match=r"file/patrol: cannot be written \(Not a directory\); .*another folder$"):
        kdmarl("new", "task", "patrol", "--folder", tmp_path / "file")


def test_what_cannot_be_written_whole_is_not_written(tmp_path):
    name = "a" * 248  # which with .py and .yaml is short enough for a file, and with test_ in front of it is not
    with pytest.raises(KdmarlError, match=r"cannot be written \(File name too long\)"):
        kdmarl("new", "task", name, "--folder", tmp_path / "deep" / "er")
    assert everything(tmp_path) == []
