"""Trials: a fault is injected, timed and removed."""

from __future__ import annotations

import math
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from faults.harness import AGED, PERIOD, SILENCE, Scene
from robot_body import RobotBody
from wall_clock import WallClock


@dataclass(frozen=True, kw_only=True)
class Case:
    """One way to stop a robot.

    ``inject`` injects the fault and returns its time [s, monotonic]; ``recover`` removes it and returns likewise.
    ``counted`` is the counter that it increments, None if it is not a fault; ``text``, a regular expression, is in the
    diagnostics meanwhile.
    """

    name: str
    inject: Callable[[Scene], float]
    recover: Callable[[Scene], float]
    limit: float
    """longest time to the zero command [s]"""
    counted: str | None = None
    text: str = ""
    sim_time: bool = False
    """needs a scene that simulates time"""
    sets_clock: bool = False
    """needs a scene whose wall clock can be set"""
    warns: bool = False
    """does not stop the robot: the diagnostics only warn with ``text``"""
    harmless: bool = False
    """changes nothing"""
    whole_process: bool = False
    """affects everything in the node's process"""


def kind_of(case: Case) -> str:
    """What a scene must be able to do for ``case``: "sim_time", "sets_clock", or nothing special."""
    return next((kind for kind in ("sim_time", "sets_clock") if getattr(case, kind)), "")


def make_scene(folder: Path, model: str, kind: str, namespace: str) -> Scene:
    """A scene for cases of ``kind``."""
    clock = WallClock(folder / f"{namespace.strip('/')}.clock") if kind == "sets_clock" else None
    return Scene(folder, model, kind == "sim_time", namespace, clock)


@dataclass(frozen=True)
class Trial:
    """Times of one fault; all in seconds."""

    stop: float
    """from the fault to the zero command's arrival, or to the warning; NaN for harmless cases"""
    resume: float
    """from the end of the fault to the first command that moves the robot"""
    lateness: float
    """longest lateness of the body's own timer until the zero command: caused by the machine's load alone"""


class Disturbed(AssertionError):  # noqa: N818 - no error of anybody
    """Something else stopped the robot: the trial is not valid."""


def run_trial(scene: Scene, case: Case) -> Trial:
    """Inject a fault, check that the robot stops once, stays silent and says why, remove it, check that it drives on.

    Raises:
        Disturbed: another cause was counted first, as when the machine or the middleware lets an input stall.
        AssertionError: it did not; how long it took is for the caller to judge.
    """
    body = scene.body
    ready = time.monotonic()
    assert body.until(lambda: len(body.moving(ready)) >= 2, 15), f"does not drive: {body.diagnostics[-1:]}"
    body.spin(random.uniform(0, PERIOD))  # at any moment between two cycles
    if body.stops(ready):
        raise Disturbed(f"stands before anything is broken: {body.diagnostics[-1:]}")
    before = _counts(body)
    body.diagnostics.clear()
    body.lateness = 0.0
    break_it = _warn if case.warns else _pass_over if case.harmless else _break
    try:
        stop, lateness = break_it(scene, case, before)
    except AssertionError as error:
        others = [key for key, value in _counts(body).items() if key != case.counted and value > before[key]]
        if others:
            raise Disturbed(f"{', '.join(others)} first: {error}") from error
        raise
    repaired = case.recover(scene)
    assert body.until(lambda: body.moving(repaired), 15), f"does not drive on: {body.diagnostics[-1:]}"
    return Trial(stop, body.moving(repaired)[0][0] - repaired, lateness)


def _break(scene: Scene, case: Case, before: dict[str, int]) -> tuple[float, float]:
    """Time to the zero command, and the body's own lateness until then [s]."""
    body = scene.body
    broken = case.inject(scene)
    stop = body.halts(broken, 5)
    lateness = body.lateness
    if case.text:
        said = body.until(lambda: any(re.search(case.text, message) for _, message, _ in body.diagnostics), 2)
        assert said, f"'{case.text}' is not said, but {[message for _, message, _ in body.diagnostics]}"
    if not case.sets_clock:  # after which the robot drives on by itself
        body.spin(SILENCE)
        after_stop = [command for command in body.commands if command[0] > broken + stop]
        messages = [message for _, message, _ in body.diagnostics]
        assert not after_stop, f"{len(after_stop)} more commands after the zero command, while it said {messages}"
    if case.counted:
        expected = before | {case.counted: before[case.counted] + 1}
        assert _counts(body) == expected, f"counted {_counts(body)}, not {expected}"
    return stop, lateness


def _warn(scene: Scene, case: Case, before: dict[str, int]) -> tuple[float, float]:
    """Time to the warning, and the body's own lateness until then [s]."""
    body = scene.body
    broken = case.inject(scene)

    def warned() -> bool:
        return any(level == b"\x01" and re.search(case.text, message) for level, message, _ in body.diagnostics)

    said = body.until(warned, 5)
    stop = time.monotonic() - broken
    assert said, f"'{case.text}' is not said, but {[message for _, message, _ in body.diagnostics]}"
    assert _counts(body) == before, f"counted {_counts(body)}, not {before}"
    return stop, body.lateness


def _pass_over(scene: Scene, case: Case, before: dict[str, int]) -> tuple[float, float]:
    """Check that the robot drives on."""
    body = scene.body
    broken = case.inject(scene)
    body.spin(AGED + SILENCE)
    assert not body.stops(broken), f"stands: {body.diagnostics[-1:]}"
    assert len(body.moving(broken)) > AGED / PERIOD, "does not drive"
    assert _counts(body) == before, f"counted {_counts(body)}, not {before}"
    return math.nan, body.lateness


def _counts(body: RobotBody) -> dict[str, int]:
    assert body.until(lambda: body.diagnostics, 3), "no diagnostics"
    return {key: int(value) for key, value in body.stop_counts().items()}
