"""kdmarl-swarm as its users meet it: bad input, whole runs, a robot's death, Ctrl-C."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
from geometry_msgs.msg import Twist
from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import GetState

from kdmarl_core.contract.team_terms import Targets
from kdmarl_core.contract.terms import Velocity
from kdmarl_ros import swarm_cli
from kdmarl_ros.swarm import supervisor
from node_process import DOMAIN, Client
from sim_support import robot, write_swarm
from support import write_policy

NEAR = [robot("scout_1", goal=(2.0, 0.0)), robot("mini_1", "mini", (-2.0, 2.0, 0.0), goal=(-1.2, 2.0))]
FAR = [robot("scout_1", goal=(3.0, 0.0)), robot("mini_1", "mini", (-3.0, 2.0, 0.0), goal=(3.0, 2.0))]
EMPTY = {"size": [8.0, 8.0]}
BLOCKED = {"size": [8.0, 8.0], "discs": [[1.0, 0.0, 0.3]]}
"""with a pillar in the way, which the tests' policies do not see"""


def truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


BAD_FILES = {
    "unknown key with the nearest": (lambda path: replace(path, "robots:", "robts:"), "did you mean 'robots'"),
    "two robots of one name": (lambda path: replace(path, "name: mini_2", "name: mini_1"), "'mini_1' already exists"),
    "wrong type": (lambda path: replace(path, "goal_tolerance: 0.3", "goal_tolerance: near"), "goal_tolerance"),
    "not YAML": (lambda path: path.write_text("robots: ["), "not valid YAML"),
    "policy for another type": (lambda path: write_policy(path.parent / "scout.onnx", "mini"), "robot type 'mini'"),
    "truncated policy": (lambda path: truncate(path.parent / "carrier.onnx"), "carrier.onnx"),
    "missing policy": (lambda path: (path.parent / "mini.onnx").unlink(), "no such file"),
}
BAD_OPTIONS = {
    "--robots scout_1,bob": "no robot 'bob'; the swarm has scout_1",
    "--sim gazebo": "--sim",
    "--seed many": "--seed",
    "--seed -1": "seed is -1",
    "--duration -3": "duration is -3",
    "--real-time-factor -1": "real_time_factor is -1",
    "--sim none --lockstep": "lockstep needs the built-in simulator",
    "--bogus": "--bogus",
}


def replace(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.fixture
def refused(monkeypatch, capsys):
    """Call the command, see that it ends in one sentence with exit code 2 and starts nothing; the sentence."""

    class Never:
        def __init__(self, *_args, **_options):
            pytest.fail("started something")

    monkeypatch.setattr(supervisor, "Supervisor", Never)

    def call(*arguments):
        assert swarm_cli.main([str(argument) for argument in arguments]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.count("\n") == 1
        assert "Traceback" not in err
        return err

    return call


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files(refused, tmp_path, name):
    path = write_swarm(tmp_path)
    damage, words = BAD_FILES[name]
    damage(path)
    assert words in refused(path)


@pytest.mark.parametrize("options", BAD_OPTIONS)
def test_bad_options(refused, tmp_path, options):
    assert BAD_OPTIONS[options] in refused(write_swarm(tmp_path), *options.split())


def test_a_topic_that_no_node_has_cannot_be_given_another_name(refused, tmp_path):
    path = write_swarm(tmp_path, type_parameters={"mini": {"remappings": {"odometry": "odom"}}})
    words = "robot 'mini_1': remappings: a policy node has no topic 'odometry'; did you mean 'odom'? (it has odom,"
    assert words in refused(path)


def test_no_file(refused, tmp_path):
    assert "no such file" in refused(tmp_path / "nothing.yaml")
    assert "SWARM.yaml" in refused()


def test_the_sentence_comes_from_the_real_command_too(tmp_path):
    command = [sys.executable, "-m", "kdmarl_ros.swarm_cli", str(tmp_path / "nothing.yaml")]
    completed = subprocess.run(command, capture_output=True, text=True)
    assert completed.returncode == 2
    assert completed.stdout == ""
    assert re.fullmatch(r".*nothing\.yaml: no such file; check the path\n", completed.stderr)


@contextmanager
def swarm(path, *options):
    """Run the command on a swarm file; what it prints is shown if the test fails."""
    command = [sys.executable, "-m", "kdmarl_ros.swarm_cli", str(path), *options]
    with (
        open(path.parent / "log", "w+") as log,
        subprocess.Popen(command, env={**os.environ, "ROS_DOMAIN_ID": str(DOMAIN)}, stdout=log, stderr=log) as popen,
    ):
        try:
            yield popen
        finally:
            popen.kill()
            print((path.parent / "log").read_text())


@pytest.mark.parametrize(("world", "exit_code"), [(EMPTY, 0), (BLOCKED, 1)], ids=["passed", "missed"])
def test_a_judged_run(started, tmp_path, world, exit_code):
    path = write_swarm(tmp_path, NEAR, world=world)
    options = ["--duration", "6", "--lockstep", "--real-time-factor", "0", "--output", str(tmp_path / "out")]
    with swarm(path, *options) as popen:
        assert popen.wait(timeout=60) == exit_code
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["passed"] == (exit_code == 0)
    assert (tmp_path / "out" / "tracks.png").stat().st_size > 1000
    assert started() == []


def test_a_judged_run_with_targets(tmp_path):
    """Two robots that each drive at the nearest of two targets; the policies have room for three."""
    robots = [robot(goal=None), robot("mini_1", "mini", (-2.0, 2.0, 0.0), goal=None)]
    terms = [Targets(count=3, range=8.0), Velocity()]
    path = write_swarm(tmp_path, robots, observation=terms, targets=[[1.5, 0.3], [-0.8, 2.0]], world=EMPTY)
    options = ["--duration", "8", "--lockstep", "--real-time-factor", "2", "--output", str(tmp_path / "out")]
    with swarm(path, *options) as popen:
        assert popen.wait(timeout=60) == 0
    totals = json.loads((tmp_path / "out" / "summary.json").read_text())["totals"]
    assert (totals["goals_reached"], totals["targets"], totals["collisions"]) == (2, 2, 0)
    log = (tmp_path / "log").read_text()
    assert re.search(r"t=  [5-7]\.\d s  targets covered \d/2  ", log)
    assert re.search(r"covered .* covered ", log, re.DOTALL)


class Operator(Client):
    """Asks robots for their state and listens to their commands."""

    def __init__(self):
        super().__init__()
        self._clients = {}

    def is_active(self, name):
        client = self._clients.setdefault(name, self.node.create_client(GetState, f"/{name}/policy/get_state"))
        if not client.service_is_ready():
            return False
        future = client.call_async(GetState.Request())
        return self.until(future.done, 1.0) and future.result().current_state.id == State.PRIMARY_STATE_ACTIVE

    def stopped(self, name):
        """Tell whether the last command of the robot ``name`` is a stop; who sent it may be gone before it is here."""
        return self.until(lambda: self.on(f"/{name}/cmd_vel")[-1] == Twist(), 2)


@pytest.fixture
def operator():
    operator = Operator()
    yield operator
    operator.close()


def test_a_killed_robot_comes_back_and_ctrl_c_ends_all(started, tmp_path, operator):
    path = write_swarm(tmp_path, FAR, world=EMPTY)
    for name in ("scout_1", "mini_1"):
        operator.listen(Twist, f"/{name}/cmd_vel", 10)
    with swarm(path) as popen:
        for name in ("scout_1", "mini_1"):
            assert operator.until(lambda name=name: operator.is_active(name), 30)
            assert operator.until(lambda name=name: operator.on(f"/{name}/cmd_vel"), 30)

        *others, mini = started()
        assert len(others) == 4  # the command, its guardian, the simulator and the other robot
        os.kill(mini, signal.SIGKILL)
        assert operator.until(lambda: mini not in started(), 5)
        operator.heard.clear()
        assert operator.until(lambda: operator.is_active("mini_1"), 30)
        assert operator.until(lambda: any(twist.linear.x > 0 for twist in operator.on("/mini_1/cmd_vel")), 10)
        assert started()[:-1] == others
        assert started()[-1] != mini
        assert operator.until(lambda: operator.on("/scout_1/cmd_vel"), 10)

        start = time.monotonic()
        popen.send_signal(signal.SIGINT)
        assert operator.until(lambda: popen.poll() is not None, 5)
        assert popen.returncode == 130
        assert time.monotonic() - start < 5
    assert started() == []
    assert (tmp_path / "log").read_text().startswith("runs until Ctrl-C; with --duration 60 it is judged")
    for name in ("scout_1", "mini_1"):
        assert operator.stopped(name)


def test_killed_robots_of_one_process_are_active_again_within_three_seconds(started, tmp_path, operator):
    """They drive as soon as the middleware has connected them anew, which may take it longer."""
    path = write_swarm(tmp_path, FAR, world=EMPTY)
    for name in ("scout_1", "mini_1"):
        operator.listen(Twist, f"/{name}/cmd_vel", 10)

    def drives(name):
        return any(twist.linear.x > 0 for twist in operator.on(f"/{name}/cmd_vel"))

    with swarm(path, "--processes", "host") as popen:
        assert operator.until(lambda: drives("scout_1") and drives("mini_1"), 30)
        os.kill(started()[-1], signal.SIGKILL)
        activated = r"policy /.*, sha256 \w{12}\n"
        assert operator.until(lambda: len(re.findall(activated, (tmp_path / "log").read_text())) == 4, 3.0)
        operator.heard.clear()
        assert operator.until(lambda: drives("scout_1") and drives("mini_1"), 30)
        assert operator.is_active("scout_1")
        assert operator.is_active("mini_1")
        popen.send_signal(signal.SIGINT)
        assert operator.until(lambda: popen.poll() is not None, 5)
        assert popen.returncode == 130
    assert started() == []
    for name in ("scout_1", "mini_1"):
        assert operator.stopped(name)


def test_robots_stop_even_if_the_runner_is_killed(started, tmp_path, operator):
    path = write_swarm(tmp_path, FAR, world=EMPTY)
    operator.listen(Twist, "/scout_1/cmd_vel", 10)
    with swarm(path) as popen:
        assert operator.until(lambda: any(twist.linear.x > 0 for twist in operator.on("/scout_1/cmd_vel")), 30)
        popen.kill()
        assert operator.until(lambda: not started(), 5)
    assert operator.stopped("scout_1")
