"""Starts the processes of a plan, restarts those that die, and leaves none behind."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import IO, Any, cast

from kdmarl_ros.node.restarts import BAD_INPUT, CRASH_LIMIT, CRASH_WINDOW, Restarts
from kdmarl_ros.swarm import guardian
from kdmarl_ros.swarm.plan import Process, rules

POLL = 0.1
"""Longest time until a death is noticed [s]."""
ROBOT_GRACE = 2.0
"""Time for the robots to stop, while everything else still runs [s]."""
GRACE = 4.0
"""Time for everything to exit by itself, including the robots [s]."""
MAX_LINES = 10_000
"""Lines that wait to be shown; further ones are dropped."""
SHOW_GRACE = 1.0
"""Time for showing the last lines [s]."""

Show = Callable[[str, str], None]
"""Shows one line of a process: its name, the line."""


def command(process: Process, folder: Path) -> list[str]:
    """The command line of a process, without a ROS distribution.

    The parameters of several robots are written to a file in ``folder``.
    """
    python = [sys.executable, "-m", process.module]
    remappings = rules(process.remappings)
    if process.robots:
        file = folder / f"{process.name}.yaml"
        file.write_text(process.parameters_file(), encoding="utf-8")
        return [*python, *process.robots, "--ros-args", "--params-file", str(file), *remappings]
    arguments = ["-r", f"__node:={process.node}", "-r", f"__ns:={process.namespace}"]
    for name, value in process.parameters.items():
        # JSON is YAML with unambiguous types: a robot may be called "on".
        arguments += ["-p", f"{name}:={json.dumps(value, ensure_ascii=False)}"]
    return [*python, "--ros-args", *arguments, *remappings]


class _Life:
    """A running process."""

    def __init__(self, process: Process, group: int, folder: Path) -> None:
        """Start it in a process group, so that the terminal's Ctrl-C reaches the runner alone."""
        self._popen = subprocess.Popen(
            command(process, folder),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            preexec_fn=partial(os.setpgid, 0, group),  # process_group= came with Python 3.11
        )
        self.output = cast("IO[bytes]", self._popen.stdout)
        self._partial_line = b""

    @property
    def exit_code(self) -> int | None:
        """None while it runs, -N if signal N ended it."""
        return self._popen.poll()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal if it still runs."""
        self._popen.send_signal(number)

    def lines(self) -> list[str]:
        """Complete lines written since the last call; call when there is something to read."""
        data = os.read(self.output.fileno(), 65536)
        *whole, self._partial_line = (self._partial_line + data).split(b"\n")
        return _text(whole)

    def last_lines(self) -> list[str]:
        """The rest of the output of a process that has exited, even if its last line is incomplete."""
        # Its child processes may still hold the other end open, so there may be no end of file.
        os.set_blocking(self.output.fileno(), False)
        data = self._partial_line
        with contextlib.suppress(BlockingIOError):
            while part := os.read(self.output.fileno(), 65536):
                data += part
        *whole, partial_line = data.split(b"\n")
        return _text([*whole, partial_line] if partial_line else whole)


def _text(lines: list[bytes]) -> list[str]:
    return [line.decode(errors="replace").rstrip() for line in lines]


class _Printer:
    """Shows lines in a separate thread, so that unread output does not block the processes.

    A process blocks when its pipe is full, and its robot would drive on with the last command.
    """

    def __init__(self, show: Show, on_end: Callable[[], None]) -> None:
        """Pass lines to ``show``; call ``on_end`` when it fails."""
        self._show = show
        self._on_end = on_end
        self._lines: queue.Queue[tuple[str, str] | None] = queue.Queue(MAX_LINES)
        self._dropped: Counter[str] = Counter()
        """dropped lines that have not been reported yet, by process"""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def say(self, name: str, line: str) -> None:
        """Queue a line of a process, or drop it if the queue is full."""
        try:
            for other in tuple(self._dropped):
                self._lines.put_nowait(self._notice(other))
                del self._dropped[other]
            self._lines.put_nowait((name, line))
        except queue.Full:
            self._dropped[name] += 1

    def close(self) -> None:
        """Show the remaining lines, if they are read in time."""
        with contextlib.suppress(queue.Full):
            for entry in (*map(self._notice, self._dropped), None):
                self._lines.put(entry, timeout=SHOW_GRACE)
            self._thread.join(SHOW_GRACE)

    def _notice(self, name: str) -> tuple[str, str]:
        return name, f"{self._dropped[name]} lines were dropped here, since the output was not read"

    def _run(self) -> None:
        try:
            with contextlib.suppress(OSError):  # the reader is gone, as after `| head` or a closed terminal
                while entry := self._lines.get():
                    self._show(*entry)
        finally:
            self._on_end()


class _Child:
    """One process of the plan, across restarts."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.life: _Life | None = None
        self.start_at: float | None = 0.0
        """when to start it (again), on the monotonic clock [s]; None while it runs and when it stays down"""
        self._restarts = Restarts()

    @property
    def is_down(self) -> bool:
        """Whether it neither runs nor will be restarted."""
        return self.life is None and self.start_at is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal if it runs."""
        if self.life:
            self.life.signal(number)

    def plan_restart(self) -> float | None:
        """Count a death; return the delay until the next start [s], None after too many deaths."""
        delay = self._restarts.count_death()
        if delay is not None:
            self.start_at = time.monotonic() + delay
        return delay


class Supervisor:
    """Runs a plan until the judge is done, a signal arrives, or the simulator or all robots stay down."""

    def __init__(self, processes: list[Process], show: Show) -> None:
        """Take a plan; output of the processes and messages about them go to ``show``."""
        self._children = [_Child(process) for process in processes]
        self._robots = [child for child in self._children if child.process.is_robot]
        self._printer = _Printer(show, partial(self._end, 1))
        self._selector = selectors.DefaultSelector()
        self._exit_code: int | None = None
        self._interrupts = 0

    def run(self) -> int:
        """Start everything, keep it running, stop it.

        Returns:
            The judge's exit code; 128 + number for a signal; 1 or 2 if the simulator or all robots stay down.
        """
        with _signals(self._interrupt), _guardian() as group, TemporaryDirectory(prefix="kdmarl_swarm_") as folder:
            try:
                while self._exit_code is None:
                    self._step(group, Path(folder))
            finally:
                self._stop()
                self._printer.close()
        return self._exit_code

    def _interrupt(self, number: int, _frame: FrameType | None) -> None:
        self._interrupts += 1
        self._exit_code = 128 + number

    def _step(self, group: int, folder: Path) -> None:
        for child in self._children:
            if child.start_at is not None and child.start_at <= time.monotonic():
                child.start_at = None
                child.life = _Life(child.process, group, folder)
                self._selector.register(child.life.output, selectors.EVENT_READ, child)
        self._show_output(POLL)
        for child, exit_code in self._reap():
            self._on_death(child, exit_code)

    def _show_output(self, timeout: float) -> None:
        """Show what the processes write, waiting for at most ``timeout`` [s]."""
        for key, _ in self._selector.select(timeout):
            child: _Child = key.data
            for line in child.life.lines() if child.life else []:
                self._printer.say(child.process.name, line)

    def _reap(self) -> list[tuple[_Child, int]]:
        """The processes that have died and their exit codes; their last output is shown."""
        codes = [(child, child.life.exit_code) for child in self._children if child.life]
        dead = [(child, code) for child, code in codes if code is not None]
        for child, _ in dead:
            if child.life:
                for line in child.life.last_lines():
                    self._printer.say(child.process.name, line)
                self._selector.unregister(child.life.output)
                child.life.output.close()
            child.life = None
        return dead

    def _on_death(self, child: _Child, exit_code: int) -> None:
        name = child.process.name
        how = (
            f"was killed by {signal.Signals(-exit_code).name}" if exit_code < 0 else f"ended with exit code {exit_code}"
        )
        if child.process.is_judge:
            if exit_code not in (0, 1, BAD_INPUT):
                self._printer.say(name, f"the judge {how} before its judgement; see its output above")
            self._end(exit_code if exit_code in (0, BAD_INPUT) else 1)
            return
        delay = None if exit_code == BAD_INPUT else child.plan_restart()
        if delay is not None:
            self._printer.say(name, f"{how}; starting it again in {delay:.1f} s")
            return
        why = "it cannot start" if exit_code == BAD_INPUT else f"it died {CRASH_LIMIT} times in {CRASH_WINDOW:.0f} s"
        self._printer.say(name, f"{how}; {why}, so it stays down; see its output above")
        if not child.process.is_robot or all(robot.is_down for robot in self._robots):
            self._end(BAD_INPUT if exit_code == BAD_INPUT else 1)

    def _end(self, exit_code: int) -> None:
        if self._exit_code is None:
            self._exit_code = exit_code

    def _stop(self) -> None:
        """Stop the robots first, while everything else still runs; then the others; kill what remains."""
        others = [child for child in self._children if not child.process.is_robot]
        interrupts, start = self._interrupts, time.monotonic()
        for children, grace in ((self._robots, ROBOT_GRACE), (others, GRACE)):
            for child in children:
                child.signal(signal.SIGINT)
            # A second Ctrl-C skips the wait.
            while _any_alive(children) and time.monotonic() < start + grace and self._interrupts == interrupts:
                self._show_output(POLL)
                self._reap()
        for child in self._children:
            child.signal(signal.SIGKILL)
        while _any_alive(self._children):
            self._show_output(POLL)
            self._reap()


def _any_alive(children: list[_Child]) -> bool:
    return any(child.life for child in children)


@contextlib.contextmanager
def _signals(handler: Callable[[int, FrameType | None], Any]) -> Iterator[None]:
    """Handle termination signals."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    previous = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old in previous.items():
            signal.signal(number, old)


@contextlib.contextmanager
def _guardian() -> Iterator[int]:
    """Start the guardian and yield its process group; dismiss it in the end, otherwise it stops what remains."""
    popen = subprocess.Popen(
        [sys.executable, "-I", "-S", guardian.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=os.setpgrp,
    )
    message = b""
    try:
        yield popen.pid
        message = b"done"
    finally:
        popen.communicate(message)
