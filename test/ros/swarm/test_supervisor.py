"""The supervisor: restarts, giving up, exit codes, and an end that leaves nothing behind."""

import os
import re
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from kdmarl_ros.node import restarts
from kdmarl_ros.swarm import supervisor
from kdmarl_ros.swarm.plan import Process
from kdmarl_ros.swarm.supervisor import Supervisor

RUNS_ON = "import time; time.sleep(60)"
IGNORES = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(60)"


def process(name, script):
    """A process of the plan that runs ``script``; its name says what it is."""
    executable = {"simulator": "simulator_node", "judge": "judge_node"}.get(name, "policy_node")
    return Process(
        name=name,
        executable=executable,
        node=name,
        namespace="/",
        parameters={"script": script},
        respawn=name != "judge",
    )


class Lines(list):
    """What the supervisor shows, as (name, line)."""

    def show(self, name, line):
        self.append((name, line))
        self.on_line(name, line)

    def on_line(self, name, line):
        """For tests that wait for a line."""


@pytest.fixture
def lines():
    return Lines()


@pytest.fixture
def run(monkeypatch, lines):
    monkeypatch.setattr(
        supervisor, "command", lambda process, _folder: [sys.executable, "-S", "-c", process.parameters["script"]]
    )
    monkeypatch.setattr(restarts, "FIRST_DELAY", 0.02)
    return lambda **scripts: Supervisor([process(name, script) for name, script in scripts.items()], lines.show).run()


@pytest.mark.parametrize(("judgement", "exit_code"), [(0, 0), (1, 1), (2, 2), (3, 1)])
def test_the_judge_decides_the_exit_code(run, judgement, exit_code):
    assert run(simulator=RUNS_ON, r1=RUNS_ON, judge=f"raise SystemExit({judgement})") == exit_code


def test_a_killed_judge_is_no_success(run, lines):
    assert run(r1=RUNS_ON, judge="import os; os.kill(os.getpid(), 9)") == 1
    assert ("judge", "the judge was killed by SIGKILL before its judgement; see its output above") in lines


LIVES_THRICE = """
import os, time
with open(PATH, "a") as file:
    file.write("x")
if os.path.getsize(PATH) < 3:
    raise SystemExit(7)
time.sleep(60)
"""
WAITS_FOR_THIRD_LIFE = """
import os, time
while not os.path.exists(PATH) or os.path.getsize(PATH) < 3:
    time.sleep(0.01)
"""


@pytest.mark.parametrize("name", ["simulator", "r1"])
def test_what_dies_is_started_again(run, lines, tmp_path, name):
    path = tmp_path / "lives"
    dies, judge = (script.replace("PATH", repr(str(path))) for script in (LIVES_THRICE, WAITS_FOR_THIRD_LIFE))
    assert run(**{name: dies, "r2": RUNS_ON, "judge": judge}) == 0
    assert path.read_text() == "xxx"
    assert lines[:2] == 2 * [(name, "ended with exit code 7; starting it again in 0.0 s")]


WAITS_FOR = """
import pathlib, time
while not all(pathlib.Path(path).exists() for path in PATHS):
    time.sleep(0.01)
"""


def waits_for(*paths):
    """A script that ends when there are files at all ``paths``."""
    return WAITS_FOR.replace("PATHS", repr([str(path) for path in paths]))


def test_a_robot_that_keeps_dying_is_given_up_and_the_others_go_on(run, lines, tmp_path):
    lines.on_line = lambda name, line: "stays down" in line and (tmp_path / "down").touch()
    assert run(r1="raise SystemExit(1)", r2=RUNS_ON, judge=waits_for(tmp_path / "down")) == 0
    assert ("r1", "ended with exit code 1; it died 5 times in 10 s, so it stays down; see its output above") in lines


@pytest.mark.parametrize(
    "scripts",
    [{"r1": "raise SystemExit(1)", "r2": "raise SystemExit(1)"}, {"simulator": "raise SystemExit(1)", "r1": RUNS_ON}],
)
def test_the_run_ends_when_there_is_nothing_left_to_run(run, scripts):
    assert run(**scripts) == 1


def test_what_cannot_start_as_configured_is_not_tried_again(run, lines):
    assert run(simulator="print('no such file', flush=True); raise SystemExit(2)", r1=RUNS_ON) == 2
    assert [line for who, line in lines if who == "simulator"] == [
        "no such file",
        "ended with exit code 2; it cannot start, so it stays down; see its output above",
    ]


def test_output_comes_line_by_line_and_whole(run, lines):
    script = "import sys; sys.stdout.buffer.write(b'one\\r\\n\\xfftwo\\n' + b'x' * 300000 + b'\\nlast!')"
    assert run(judge=script) == 0
    assert [line for _, line in lines] == ["one", "\ufffdtwo", "x" * 300000, "last!"]


def test_robots_end_first_and_stubborn_ones_are_killed(run, tmp_path):
    ends = tmp_path / "ends"
    script = textwrap.dedent("""
        import signal, time
        def end(*_):
            open(PATH, "a").write(NAME + " ")
            raise SystemExit
        signal.signal(signal.SIGINT, end)
        open(PATH + NAME, "w").close()
        time.sleep(60)
    """).replace("PATH", repr(str(ends)))
    start = time.monotonic()
    scripts = {name: script.replace("NAME", repr(name)) for name in ("simulator", "r1")}
    stubborn = IGNORES.replace("time.sleep", f"open('{ends}r2', 'w').close(); time.sleep")
    judge = waits_for(*(f"{ends}{name}" for name in ("simulator", "r1", "r2")))
    assert run(**scripts, r2=stubborn, judge=judge) == 0
    assert ends.read_text().split() == ["r1", "simulator"]
    assert time.monotonic() - start < 5.5


RUNNER = """
import sys
from kdmarl_ros.swarm import supervisor
from test_supervisor import process, IGNORES, RUNS_ON
supervisor.command = lambda process, _folder: [sys.executable, "-S", "-c", process.parameters["script"], sys.argv[1]]
plan = [process("r1", "print('up', flush=True);" + RUNS_ON), process("r2", "print('up', flush=True);" + IGNORES)]
sys.exit(supervisor.Supervisor(plan, lambda name, line: print(name, line, flush=True)).run())
"""


def start(runner, folder):
    """A process that runs ``runner``."""
    return subprocess.Popen(
        [sys.executable, "-c", runner, str(folder)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path])},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def runner(started, tmp_path):  # what was started before is no concern of the test
    """A supervisor in a process of its own, with one robot that obeys and one that does not."""
    with start(RUNNER, tmp_path) as popen:
        assert {popen.stdout.readline().strip() for _ in range(2)} == {"r1 up", "r2 up"}
        yield popen
        popen.kill()


@pytest.mark.parametrize(
    ("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGKILL, -9)]
)
def test_no_signal_leaves_anything_behind(started, runner, number, exit_code):
    assert len(started()) == 4  # the runner, its guardian and two robots
    runner.send_signal(number)
    assert runner.wait(timeout=5) == exit_code
    deadline = time.monotonic() + (5 if number == signal.SIGKILL else 0)
    while started() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert started() == []


def test_a_second_ctrl_c_ends_the_patience(started, runner):
    everyone = len(started())
    runner.send_signal(signal.SIGINT)
    while len(started()) == everyone:  # until the robot that obeys has ended
        time.sleep(0.01)
    start = time.monotonic()
    runner.send_signal(signal.SIGINT)
    assert runner.wait(timeout=5) == 130
    assert time.monotonic() - start < 1
    assert started() == []


CHATTY = """
import pathlib, signal, sys, time
signal.signal(signal.SIGINT, lambda *_: sys.exit())  # without the lines of a traceback
for _ in range(30_000):
    print("x" * 99)
pathlib.Path(sys.argv[1], "written").touch()
time.sleep(60)
"""


@pytest.mark.parametrize("reads_in_the_end", [True, False])
def test_one_who_does_not_read_keeps_nobody_from_writing_and_ending(started, tmp_path, reads_in_the_end):
    popen = start(RUNNER.replace("IGNORES", "CHATTY"), tmp_path)
    try:
        deadline = time.monotonic() + 10
        while not (tmp_path / "written").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        popen.send_signal(signal.SIGINT)
        if reads_in_the_end:
            output = popen.communicate(timeout=5)[0]
            counts = re.findall(r"^r2 (\d+) lines were dropped here, since the output", output, re.MULTILINE)
            assert counts
            assert output.count("x" * 99) + sum(map(int, counts)) == 30_000
        assert popen.wait(timeout=8) == 130
        assert started() == []
    finally:
        popen.kill()
        popen.communicate()


def test_the_end_of_the_reader_ends_the_run(started, runner):
    runner.stdout.close()
    os.kill(started()[-1], signal.SIGKILL)  # a robot, so that there is something to say
    assert runner.wait(timeout=6) != 0
    assert started() == []
