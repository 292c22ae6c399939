"""Why a robot stands: the causes that stop it, and how they are told."""

from __future__ import annotations

from enum import Enum


class Cause(Enum):
    """What stopped the robot; each is counted on its own in the diagnostics."""

    WAITING = "waiting"
    """not moved yet since activation: inputs are still coming up"""
    MISSING = "missing_input"
    STALE = "stale_input"
    MALFORMED = "malformed_input"
    FUTURE = "future_input"
    CLOCK_STOPPED = "clock_stopped"
    CLOCK_JUMPED_BACK = "clock_jumped_back"
    OUTPUT = "policy_output"
    DEADLINE = "missed_deadline"
    INTERNAL = "internal_error"


class Fault(Exception):  # noqa: N818 - what the field calls it
    """A reason to stop: a cause, and a sentence with the thing, its value and the remedy."""

    def __init__(self, cause: Cause, reason: str) -> None:
        super().__init__(reason)
        self.cause = cause
        self.reason = reason
