"""Why a robot stands: the causes that stop it, and how they are reported."""

from __future__ import annotations

from enum import Enum

from kdmarl_core.errors import printable


class Cause(Enum):
    """What stopped the robot; each has its own counter in the diagnostics, except ``WAITS``."""

    WAITING = "waiting"
    """just activated, or swapped to a policy with other inputs: the inputs are still coming up"""
    NO_GOAL = "no_goal"
    """no goal or targets received yet"""
    MISSING = "missing_input"
    STALE = "stale_input"
    MALFORMED = "malformed_input"
    MIXED = "mixed_input"
    """several devices or publishers alternate on one topic"""
    FUTURE = "future_input"
    POSE_JUMPED = "pose_jumped"
    """the localisation says that the robot is elsewhere"""
    CLOCK_INVALID = "clock_invalid"
    CLOCK_STOPPED = "clock_stopped"
    CLOCK_JUMPED_BACK = "clock_jumped_back"
    CLOCK_JUMPED_AHEAD = "clock_jumped_ahead"
    OUTPUT = "policy_output"
    DEADLINE = "missed_deadline"
    INTERNAL = "internal_error"


WAITS = frozenset({Cause.WAITING, Cause.NO_GOAL})
"""Causes that are not faults: the robot stands because it has nothing to do yet."""


class Fault(Exception):  # noqa: N818 - the usual term
    """A reason to stop: a cause, and a sentence with the thing, its value and the remedy."""

    def __init__(self, cause: Cause, reason: str) -> None:
        self.cause = cause
        self.reason = printable(reason)
        super().__init__(self.reason)
