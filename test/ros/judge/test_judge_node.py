"""The judge node as its users meet it: a process that watches topics and leaves files and an exit code."""

import json
import re
import signal
from contextlib import ExitStack
from types import SimpleNamespace

import pytest
from geometry_msgs.msg import Twist
from nav_msgs.msg import Odometry
from rclpy.qos import qos_profile_sensor_data

from kdmarl_core.contract import KdmarlError
from kdmarl_ros.judge import judge_node
from kdmarl_ros.judge.judge_node import JudgeNode
from node_process import Client, node_process
from sim_support import robot, write_swarm
from support import ROBOT_TYPES

ROBOTS = [robot("a", goal=(2.0, 0.0)), robot("b", "mini", (0.0, 2.0, 0.0), goal=(2.0, 2.0))]
SPEED_UP = 5.0
"""Simulated over real time of the made-up robots."""


@pytest.fixture
def swarm(tmp_path):
    return write_swarm(tmp_path, ROBOTS, world={"size": [8.0, 8.0]})


@pytest.fixture
def client():
    client = Client()
    yield client
    client.close()


class Parade:
    """Drives made-up robots along x by 0.5 m/s, once the judge listens, each until its own x."""

    def __init__(self, client, **last_x):
        self._last_x, self._time = last_x, 100.0
        self._odometry = {
            name: client.node.create_publisher(Odometry, f"/{name}/odom", qos_profile_sensor_data) for name in last_x
        }
        self._commands = client.node.create_publisher(Twist, "/a/cmd_vel", 1)
        self.x = dict.fromkeys(last_x, 0.0)
        client.node.create_timer(0.1 / SPEED_UP, self._step)

    def jump(self, seconds):
        """Set the robots' clock forward or back."""
        self._time += seconds

    def _step(self):
        self._time += 0.1
        if self._commands.get_subscription_count() and self._time > 102.0:
            command = Twist()
            command.linear.x = 0.5
            self._commands.publish(command)
            self.x = {name: min(x + 0.05, self._last_x[name]) for name, x in self.x.items()}
        for name, publisher in self._odometry.items():
            message = Odometry()
            message.header.stamp.sec, fraction = int(self._time), self._time % 1
            message.header.stamp.nanosec = int(fraction * 1e9)
            message.pose.pose.position.x = self.x[name]
            message.pose.pose.position.y = 2.0 if name == "b" else 0.0
            message.pose.pose.orientation.w = 1.0
            publisher.publish(message)


def test_a_run_that_reaches_the_bars(swarm, client, tmp_path):
    Parade(client, a=2.0, b=1.9)
    output = tmp_path / "new" / "run"
    with node_process("judge.judge_node", swarm=swarm, duration=12.0, output=output) as process:
        assert client.until(lambda: process.poll() is not None)
        text = process.communicate()[0]
    assert process.returncode == 0, text
    # The first message at or after each 5 s; messages may come in bursts.
    assert re.search(r"^t=  5\.\d s  goals 2/2  collisions 0  min clearance 1\.[678]\d m$", text, re.MULTILINE), text
    assert re.search(r"^t= 10\.\d s  goals 2/2", text, re.MULTILINE), text
    assert "passed" in text
    summary = json.loads((output / "summary.json").read_text())
    assert summary["schema_version"] == 1
    assert summary["passed"]
    assert summary["duration"] == 12.0
    assert [one["name"] for one in summary["robots"]] == ["a", "b"]
    assert summary["robots"][0]["time_to_goal"] == pytest.approx(
        3.4, abs=0.8
    )  # it notices the start late at this speed-up
    assert summary["totals"]["minimum_clearance"] == pytest.approx(2.0 - 0.18 - 0.12, abs=0.11)
    assert (output / "tracks.png").stat().st_size > 10_000
    assert sorted(path.name for path in output.iterdir()) == ["summary.json", "tracks.png"]


@pytest.mark.parametrize(
    ("shape", "collisions", "said"),
    [
        ("<cylinder><radius>0.2</radius><length>1</length></cylinder>", 1, "obstacles of hall.sdf, from 1 static"),
        ("<mesh><uri>shelf.dae</uri></mesh>", 0, "obstacles of hall.sdf unknown, as 1 of 1 static collisions have no"),
    ],
)
def test_obstacles_of_an_own_world(tmp_path, client, shape, collisions, said):
    (tmp_path / "hall.sdf").write_text(
        "<sdf version='1.8'><world name='hall'><model name='pillar'><static>1</static><pose>1 2.3 0.5 0 0 0</pose>"
        f"<link name='a'><collision name='b'><geometry>{shape}</geometry></collision></link></model></world></sdf>"
    )
    swarm = write_swarm(tmp_path, ROBOTS, world={"sdf": "hall.sdf"})
    Parade(client, a=2.0, b=1.9)
    with node_process("judge.judge_node", swarm=swarm, duration=6.0, output=tmp_path / "run") as process:
        assert client.until(lambda: process.poll() is not None)
        text = process.communicate()[0]
    assert f"judging 2 robots; {said}" in text, text
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["obstacles"].startswith(said)
    assert summary["totals"]["collisions"] == collisions


def test_a_run_that_misses_them(swarm, client, tmp_path):
    Parade(client, a=2.0, b=0.5)
    (tmp_path / "summary.json").write_text("of an earlier run")
    with node_process("judge.judge_node", swarm=swarm, duration=6.0, output=tmp_path) as process:
        assert client.until(lambda: process.poll() is not None)
        text = process.communicate()[0]
    assert process.returncode == 1, text
    assert "missed: 1 of 2 robots at their goal, the bar is 90%" in text
    assert not json.loads((tmp_path / "summary.json").read_text())["passed"]


def test_without_duration_a_signal_ends_the_run_and_it_is_judged(swarm, client, tmp_path):
    parade = Parade(client, a=2.0)
    with node_process("judge.judge_node", swarm=swarm, robots=["a"], output=tmp_path) as process:
        assert client.until(lambda: parade.x["a"] == 2.0)
        client.spin(0.5)
        process.send_signal(signal.SIGINT)
        assert client.until(lambda: process.poll() is not None)
        text = process.communicate()[0]
    assert process.returncode == 0, text
    assert json.loads((tmp_path / "summary.json").read_text())["totals"]["goals_reached"] == 1


def test_interrupted_before_the_start_there_is_nothing_to_judge(swarm, client, tmp_path):
    output = tmp_path / "run"
    with node_process("judge.judge_node", swarm=swarm, output=output) as process:
        assert client.until(output.exists)
        client.spin(0.5)
        process.send_signal(signal.SIGTERM)
        text = process.communicate(timeout=10)[0]
    assert process.returncode == 2
    assert text.strip() == "interrupted before the robots moved; there is nothing to judge"


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"swarm": "/nowhere.yaml"}, "/nowhere.yaml: no such file"),
        ({"output": f"{ROBOT_TYPES}/run"}, "robots.yaml/run: cannot be written to (Not a directory)"),
        ({"duration": "soon"}, "parameter 'duration' is 'soon'; give a value of type double"),
        ({"robots": ["c"]}, "no robot 'c'; the swarm has a, b"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_two(swarm, tmp_path, parameters, sentence):
    with node_process("judge.judge_node", **{"swarm": swarm, "output": tmp_path, **parameters}) as process:
        text = process.communicate(timeout=20)[0]
    assert process.returncode == 2
    assert sentence in text
    assert len(text.strip().splitlines()) == 1


def test_without_matplotlib_the_reason_is_named(swarm, tmp_path, monkeypatch):
    (tmp_path / "matplotlib.py").write_text("raise ImportError('compiled for another numpy')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with node_process("judge.judge_node", swarm=swarm, output=tmp_path / "run") as process:
        text = process.communicate(timeout=20)[0]
    assert process.returncode == 2
    assert text.strip() == "matplotlib cannot be used (compiled for another numpy); pip install 'kdmarl_ros[sim]'"


def test_silence_is_named(swarm, client, tmp_path, monkeypatch):
    monkeypatch.setattr(judge_node, "ODOMETRY_TIMEOUT", 0.2)
    monkeypatch.setattr(judge_node, "read_parameter", lambda _node, name, default, *_: given.get(name, default))
    monkeypatch.setattr(judge_node, "read_names", lambda *_: [])
    given = {"swarm": str(swarm), "output": str(tmp_path / "run")}
    node = judge_node.JudgeNode()
    try:
        with pytest.raises(KdmarlError, match=r"nothing was received on /a/odom, /b/odom within"):
            node.watch()
    finally:
        node.destroy_node()


@pytest.mark.parametrize("jump", [1.7e9, -40.0, -25.0], ids=["another clock", "long ago", "a reset"])
def test_stamps_of_several_clocks_are_named(swarm, client, tmp_path, jump):
    parade = Parade(client, a=2.0, b=1.9)
    with node_process("judge.judge_node", swarm=swarm, output=tmp_path / "out") as process:
        assert client.until(lambda: parade.x["a"] > 0.3)
        parade.jump(jump)
        assert client.until(lambda: process.poll() is not None)
        text = process.communicate()[0]
    assert process.returncode == 2, text
    assert "/odom is stamped" in text
    assert "let all robots use one clock (use_sim_time)" in text


def test_a_single_stray_stamp_is_passed_over(swarm, client, tmp_path):
    parade = Parade(client, a=2.0, b=1.9)
    with node_process("judge.judge_node", swarm=swarm, duration=12.0, output=tmp_path) as process:
        assert client.until(lambda: parade.x["a"] > 0.3)
        parade.jump(1e9)
        parade._step()
        parade.jump(-1e9)
        assert client.until(lambda: process.poll() is not None)
        text = process.communicate()[0]
    assert process.returncode == 0, text
    assert json.loads((tmp_path / "summary.json").read_text())["duration"] == 12.0


def test_a_run_starts_when_the_first_robot_leaves_its_place():
    rows = {"a": [(1.0, 0, 0, 0), (2.0, 0.005, 0, 0), (3.0, 0.02, 0, 0)], "b": [(1.0, 5, 5, 0), (2.5, 5, 5.3, 0)]}
    assert JudgeNode._first_motion(SimpleNamespace(_rows=rows, _now=9.0)) == 2.5
    assert JudgeNode._first_motion(SimpleNamespace(_rows={"a": rows["a"][:2]}, _now=9.0)) == 9.0


def test_a_full_disk_is_named_and_leaves_no_half_file(tmp_path):
    def fail(path):
        path.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(KdmarlError, match=r"summary.json: cannot be written \(No space left on device\)"):
        judge_node._write(tmp_path / "summary.json", fail)
    assert list(tmp_path.iterdir()) == []


def test_simulated_robots_with_policies_reach_their_goals(swarm, tmp_path):
    """Simulator, policy nodes and judge together, over real topics."""
    output = tmp_path / "run"
    with ExitStack() as processes:
        start = processes.enter_context
        start(node_process("sim.simulator_node", swarm=swarm, lockstep=True, real_time_factor=2.0))
        for one in ROBOTS:
            start(
                node_process(
                    "robot.policy_node",
                    __ns=f"/{one.name}",
                    policy=tmp_path / f"{one.type}.onnx",
                    robot_type=one.type,
                    robot_types=ROBOT_TYPES,
                    goal=list(one.goal),
                    autostart=True,
                    use_sim_time=True,
                )
            )
        judge = start(node_process("judge.judge_node", swarm=swarm, duration=9.0, output=output))
        text = judge.communicate(timeout=60)[0]
    assert judge.returncode == 0, text
    assert json.loads((output / "summary.json").read_text())["totals"]["collisions"] == 0
