"""``kdmarl doctor``: a line for each thing, and exit code 1 for what must not drive a robot."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from kdmarl_core.cli.doctor import doctor as look
from kdmarl_core.contract import Discrete
from kdmarl_core.contract.checksums import SUMS, note_sum
from kdmarl_core.contract.simulator_terms import Vector
from kdmarl_core.contract.team_terms import Neighbors, Targets
from kdmarl_core.contract.terms import Goal, Lidar, PreviousAction, Velocity
from sim_support import write_swarm
from support import write_policy


@pytest.fixture
def swarm(tmp_path):
    """A swarm in good order, with a list of its policies."""
    path = write_swarm(tmp_path)
    (tmp_path / SUMS).touch()
    for policy in tmp_path.glob("*.onnx"):
        note_sum(policy)
    return path


def doctor(*arguments, cwd, blocked=("torch", "onnx"), **environment):
    block = "".join(f"sys.modules[{name!r}] = None;" for name in blocked)
    program = f"import sys; {block} from kdmarl_core.cli import main; sys.argv[0] = 'kdmarl'; main()"
    environment = {"ROS_DOMAIN_ID": "7", "FASTDDS_BUILTIN_TRANSPORTS": "UDPv4", "ROS_HOME": str(cwd), **environment}
    done = subprocess.run(
        [sys.executable, "-c", program, "doctor", *map(str, arguments)],
        capture_output=True, text=True, cwd=cwd, env={**os.environ, **environment}, timeout=60,
    )  # fmt: skip
    assert done.stderr == ""
    lines = [line.split(maxsplit=1) for line in done.stdout.splitlines()]
    assert {level for level, _ in lines} <= {"ok", "warn", "fail"}
    assert done.returncode == any(level == "fail" for level, _ in lines)
    return {level: [text for each, text in lines if each == level] for level in ("ok", "warn", "fail")}


def test_a_swarm_in_good_order(tmp_path, swarm):
    found = doctor(swarm, cwd=tmp_path)
    assert found["warn"] == found["fail"] == []
    text = "\n".join(found["ok"])
    for words in ("Python 3.", "onnxruntime 1.", "rclpy", "6 robots", f"3 files of {tmp_path}", "fits carrier"):
        assert words in text


@pytest.mark.parametrize("names_the_swarm", [True, False])
def test_every_policy_file_is_read_once(tmp_path, swarm, monkeypatch, names_the_swarm):
    opened, open_ = [], Path.open
    monkeypatch.setattr(
        Path, "open", lambda path, *args, **named: opened.append(path.name) or open_(path, *args, **named)
    )
    look(swarm if names_the_swarm else None, tmp_path, allow_outside=False)
    assert sorted(name for name in opened if name.endswith(".onnx")) == ["carrier.onnx", "mini.onnx", "scout.onnx"]


def test_needs_neither_torch_nor_ros(tmp_path, swarm):
    found = doctor(swarm, cwd=tmp_path, blocked=("torch", "onnx", "rclpy", "numba", "mujoco"))
    assert found["fail"] == []
    (line,) = found["warn"]
    assert line.startswith("rclpy is missing")


def change(path):
    """Another policy for the same type: valid, but not the one that was tested."""
    write_policy(path, path.stem, control_period=0.2)


@pytest.mark.parametrize(
    ("trouble", "level", "words"),
    [
        (lambda d: change(d / "scout.onnx"), "fail", "scout.onnx is missing or does not match SHA256SUMS"),
        (lambda d: write_policy(d / "other.onnx"), "warn", "other.onnx is not in SHA256SUMS"),
        (lambda d: (d / SUMS).unlink(), "warn", "has no SHA256SUMS"),
        (lambda d: (d / SUMS).write_text("?"), "fail", "SHA256SUMS line 1: no checksum"),
        (lambda d: shutil.copy(d / "mini.onnx", d / "scout.onnx"), "fail", "for robot type 'mini', this robot is a"),
        (lambda d: (d / "scout.onnx").write_bytes(b"x"), "fail", "scout.onnx: no valid policy file"),
        (lambda d: (d / "scout.onnx").unlink(), "fail", "scout.onnx: no such file"),
        (lambda d: (d / "swarm.yaml").write_text("robots: []"), "fail", "swarm.yaml: $.robots: "),
        (lambda d: (d / "runs").touch(), "fail", "runs cannot be written"),
    ],
)
def test_trouble_is_reported_with_its_remedy(tmp_path, swarm, trouble, level, words):
    trouble(tmp_path)
    found = doctor(swarm, cwd=tmp_path)
    assert any(words in text for text in found[level]), found


@pytest.mark.parametrize(
    ("value", "level"),
    [
        ("", "warn"),
        ("0", "ok"),
        ("101", "ok"),
        ("150", "warn"),
        ("233", "fail"),
        ("-1", "fail"),
        ("010", "fail"),
        ("²", "fail"),
        ("1" * 5000, "fail"),
    ],
)
def test_the_ros_domain(tmp_path, swarm, value, level):
    found = doctor(swarm, cwd=tmp_path, ROS_DOMAIN_ID=value)
    assert any(text.startswith("ROS_DOMAIN_ID") for text in found[level])


@pytest.mark.parametrize(
    ("environment", "level", "words"),
    [
        ({}, "ok", "FASTDDS_BUILTIN_TRANSPORTS is UDPv4"),
        ({"FASTDDS_BUILTIN_TRANSPORTS": ""}, "warn", "is not set, so drivers on Fast DDS use shared memory"),
        ({"FASTDDS_BUILTIN_TRANSPORTS": "SHM"}, "warn", "set it to UDPv4"),
        (
            {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"},
            "warn",
            "is LOCALHOST, so Fast DDS uses shared memory",
        ),
        ({"ROS_AUTOMATIC_DISCOVERY_RANGE": "local"}, "warn", "is local, which ROS treats as LOCALHOST"),
        ({"ROS_LOCALHOST_ONLY": "1"}, "warn", "unset it where robots drive"),
        ({"FASTDDS_BUILTIN_TRANSPORTS": "", "RMW_IMPLEMENTATION": "rmw_none_cpp"}, "ok", "is rmw_none_cpp"),
        ({"RMW_IMPLEMENTATION": "rmw_none_cpp"}, "fail", "rclpy cannot be imported, so no node can run: "),
    ],
)
def test_the_transport(tmp_path, swarm, environment, level, words):
    found = doctor(swarm, cwd=tmp_path, **environment)
    assert any(words in text for text in found[level]), found


def edited(swarm, **changes):
    swarm.write_text(yaml.safe_dump(yaml.safe_load(swarm.read_text()) | changes))


def see(swarm, *terms):
    """Let the carriers' policy observe other terms."""
    note_sum(write_policy(swarm.parent / "carrier.onnx", "carrier", observation=list(terms)))


BLIND = (Goal(range=5.0), Velocity())
GUARD = "carrier.onnx: observes no sensor that the scan guard can use; turn scan_guard off"


@pytest.mark.parametrize(
    ("trouble", "level", "words"),
    [
        (lambda s: see(s, *BLIND), "warn", f"carrier: on real robots (sim none) the node reports: {{folder}}/{GUARD}"),
        (lambda s: [see(s, *BLIND), edited(s, world=None)], "fail", f"the node reports: {{folder}}/{GUARD}"),
        (lambda s: [see(s, *BLIND), edited(s, defaults={"scan_guard": True})], "fail", f"{{folder}}/{GUARD}"),
        (lambda s: see(s, PreviousAction()), "fail", "observes nothing but its own previous_action"),
        (lambda s: see(s, Goal(5.0), Neighbors(2, 4.0, motion=True)), "fail", "motion: true, which only simulation"),
        (lambda s: see(s, Goal(5.0), Vector(18)), "fail", "the vector term, which only its own simulator gives"),
        (lambda s: see(s, Lidar(sectors=36, range=99.0)), "fail", "needs a lidar that sees 99 m far"),
        (
            lambda s: see(s, Targets(count=2, range=8.0)),
            "warn",
            "each carrier stands until a message arrives on targets",
        ),
        (lambda s: edited(s, world=None), "ok", "6 robots, no world to simulate: for real robots"),
        (lambda s: edited(s, world={"running": "hall"}), "ok", "6 robots, in a world of Gazebo's own (sim gazebo)"),
    ],
)
def test_says_of_a_swarm_what_its_nodes_will_say(tmp_path, swarm, trouble, level, words):
    trouble(swarm)
    found = doctor(swarm, cwd=tmp_path)
    assert any(words.format(folder=tmp_path) in text for text in found[level]), found
    assert [bool(found[other]) for other in ("warn", "fail")] == [other == level for other in ("warn", "fail")], found


def test_a_guard_that_is_off_needs_no_sensors(tmp_path, swarm):
    see(swarm, *BLIND)
    edited(swarm, defaults={"scan_guard": False})
    found = doctor(swarm, cwd=tmp_path)
    assert found["warn"] == found["fail"] == []


@pytest.mark.parametrize(
    ("action", "observation", "why"),
    [(Discrete(n=5), None, "action space is discrete"), (None, [Goal(5.0), Vector(18)], "the vector term")],
)
def test_policies_that_no_robot_can_run_are_reported(tmp_path, action, observation, why):
    note_sum(write_policy(tmp_path / "p.onnx", action=action, observation=observation))
    (line,) = (text for text in doctor("--models", tmp_path, cwd=tmp_path)["warn"] if "SHA256SUMS" not in text)
    assert "for simulation only: " in line
    assert why in line


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({}, "HOME is not set, and ROS writes logs of nodes to ~/.ros/log; set HOME, or ROS_LOG_DIR"),
        ({"HOME": "/dev/null"}, "/dev/null/.ros/log cannot be written (logs of nodes); /dev/null is not a folder"),
        ({"ROS_LOG_DIR": "/dev/null/logs"}, "/dev/null/logs cannot be written (logs of nodes)"),
    ],
)
def test_the_folder_of_logs(tmp_path, swarm, environment, words):
    found = doctor(swarm, cwd=tmp_path, **{"HOME": "", "ROS_HOME": "", "ROS_LOG_DIR": "", **environment})
    assert any(words in text for text in found["fail"]), found


def test_without_a_swarm_the_folder_of_models_is_checked(tmp_path, swarm):
    assert "has no policy files" in doctor(cwd=tmp_path)["fail"][0]
    found = doctor("--models", tmp_path, cwd=tmp_path)
    assert sum("sha256" in text for text in found["ok"]) == 3
    swarm.write_text(swarm.read_text().replace("robots.yaml", "../robots.yaml"))
    assert any("is outside of" in text for text in doctor(swarm, cwd=tmp_path)["fail"])
