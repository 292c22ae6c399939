"""The gate between a controller and its robot: time and outcome of a control cycle in; drive, stop or silence out."""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

from kdmarl_core.contract import KdmarlError
from kdmarl_core.runtime.faults import Cause, Fault
from kdmarl_core.runtime.safety import UnsafeCommandError
from kdmarl_core.runtime.scan_guard import TooOldError

RESUME_CYCLES = 3
"""Good control cycles in a row after which a stopped robot moves again, at the soonest."""

LATE_CYCLES = 3
"""Late control cycles in a row that stop the robot."""

CLOCK_STEP = 200_000_000
"""By which wall time and the steady clock may differ between two looks at them [ns]; more is a clock that was set."""

Command = tuple[float, float]
"""A forward speed [m/s] and a yaw rate [rad/s]."""


class Moment(NamedTuple):
    """What the clocks say at one moment."""

    ros: int
    """ROS time: wall time, or that of a simulator, which is zero until it comes up [ns]"""
    steady: int
    """a clock that nobody can set [ns]"""
    is_simulated: bool

    @property
    def arrival(self) -> int:
        """On the clock that ages are measured on: a simulator may run at any speed [ns]."""
        return self.ros if self.is_simulated else self.steady


class Act(Enum):
    """What to do now."""

    DRIVE = "drive"
    """give the command"""
    STOP = "stop"
    """give one zero command"""
    SILENT = "silent"
    """give none"""


class Verdict(NamedTuple):
    """What to do now, and what to say of it."""

    act: Act
    command: Command = (0.0, 0.0)
    """to give, if ``act`` is ``DRIVE``"""
    fault: Fault | None = None
    """why the robot stands; None if it drives, or there is nothing to add to what was said"""
    is_new: bool = False
    """it drives after it stood, or stands for another cause than before"""


class Gate:
    """Lets a robot drive while everything can be trusted, else stop and stand.

    Any fault is one ``STOP``, then silence, until ``RESUME_CYCLES`` cycles in a row found nothing wrong, or as many as
    the braking takes: a command starts from zero, and so has the body to. A ``STOP`` counts as given once
    :meth:`stop_given` says so. Threads and clocks are the caller's: times are passed in, and steady ones never go back.
    A gate is closed at first.
    """

    def __init__(
        self,
        period: float,
        timeout: float,
        braking_time: Callable[[float, float], float],
        forget: Callable[[], None],
        shortest: float = 1.0,
    ) -> None:
        """Make one for a robot.

        Args:
            period: of the control cycles [s].
            timeout: for inputs, the clock and the cycles themselves to come [s].
            braking_time: forward speed [m/s], yaw rate [rad/s] → how long the robot takes to stop from them [s].
            forget: called when nothing that has been received so far has an age, since the clock was set.
            shortest: regular time from one cycle to the next [periods].
        """
        self._period = period
        self._timeout = timeout
        self._find_braking_time = braking_time
        self._forget = forget
        self._shortest = shortest
        self._is_open = False
        self._standing = True
        self._fault: Fault | None = None
        """why the robot stands; None while it drives"""
        self._last_command: Command = (0.0, 0.0)
        """that was let through"""
        self._braking_time = 0.0
        """of the last stop [s]"""
        self._good_cycles = 0
        self._late_cycles = 0
        self._waiting_since = 0
        """steady [ns]"""
        self._last_cycle = Moment(0, 0, False)
        self._clock_seen = (0, 0)
        """ROS time, and the steady time at which it was new [ns]"""
        self._clock_trouble = ""
        """what is wrong with ROS time"""

    @property
    def standing(self) -> bool:
        """Whether a stop was the last that was given, if anything was."""
        return self._standing

    @property
    def last_cycle(self) -> int:
        """When the last cycle ran, or the wait for inputs began, in ROS time [ns]."""
        return self._last_cycle.ros

    def open(self, now: Moment) -> Verdict:
        """Let the robot drive as soon as its inputs are there."""
        self._is_open = True
        self._clock_trouble = ""
        self._standing = False  # a command of whoever drove the robot before may still be in force
        self._clock_seen = (now.ros, now.steady)
        return self._wait(now, Act.SILENT, "waiting for the first inputs" if now.ros else "waiting for /clock")

    def close(self) -> Verdict:
        """Stop, and let nothing pass any more."""
        self._is_open = False
        return Verdict(self._stand())

    def pause(self, now: Moment, reason: str) -> Verdict:
        """Stop, and let the robot drive on once its inputs are seen to be good."""
        return self._wait(now, self._stand(), reason) if self._is_open else Verdict(self._stand())

    def stop_given(self) -> None:
        """The zero command of the last ``STOP`` has been given."""
        self._standing = True
        self._braking_time = self._find_braking_time(*self._last_command)

    def change(self, period: float, timeout: float, braking_time: Callable[[float, float], float]) -> None:
        """Go on with another controller; arguments as for the first."""
        self._period, self._timeout, self._find_braking_time = period, timeout, braking_time
        self._good_cycles = 0

    def cycle(self, now: Moment, work: Callable[[], Command]) -> Verdict:
        """Run one control cycle.

        Args:
            now: when it starts.
            work: gives the command. It runs only if the clock can be trusted, and what it raises is a fault: a
                :class:`Fault` itself, other errors by their type.
        """
        if not self._is_open:
            return Verdict(self._stand())
        self._count_late(now)
        try:
            self._check_clock(now)
            command = work()
            # After the work, which goes on while the robot stands: else it would seem to keep time by idling.
            self._check_deadline()
        except Exception as error:  # a robot stops on any fault, ours too
            return self._halt(now, _to_fault(error))
        return self._pass(command)

    def watch(self, now: Moment, check: Callable[[], None]) -> Verdict | None:
        """Catch what lets inputs run dry or keeps control cycles from running.

        Args:
            now: when this happens.
            check: looks at the inputs, and raises a :class:`Fault` if one cannot be trusted.

        Returns:
            None if nothing is wrong, or the gate is closed.
        """
        if not self._is_open:
            return None
        try:
            self._check_clock(now)
            check()
            self._check_silence(now)
        except Fault as fault:
            return self._halt(now, fault)
        return None

    def trust_clock(self, trouble: str) -> Verdict | None:
        """Let nothing pass while ``trouble`` says what is wrong with ROS time, until it is empty.

        At once: the next cycle may come when all is well again.

        Returns:
            None if there is no trouble, or the gate is closed.
        """
        self._clock_trouble = trouble
        return self._stop_for(Fault(Cause.CLOCK_INVALID, trouble)) if trouble and self._is_open else None

    # Verdicts

    def _pass(self, command: Command) -> Verdict:
        """Let a command through, unless the robot stands and has to be sure first."""
        resumes = self._fault is not None
        if resumes:
            self._good_cycles += 1
            if self._good_cycles < self._cycles_to_resume():
                return Verdict(Act.SILENT)
        self._fault = None
        self._standing = False
        self._last_command = command
        return Verdict(Act.DRIVE, command, is_new=resumes)

    def _cycles_to_resume(self) -> int:
        """Good cycles in a row before the next command: those of the braking, and more if the stop was for a reason."""
        braking = math.ceil(self._braking_time / (self._shortest * self._period) - 1e-6)
        return max(braking, RESUME_CYCLES) if self._standing else braking

    def _halt(self, now: Moment, fault: Fault) -> Verdict:
        """Make the robot stand because of ``fault``, unless it has not driven yet and inputs are only coming up."""
        self._good_cycles = 0
        if self._fault is not None and fault.cause in (Cause.WAITING, Cause.MISSING):
            if now.steady - self._waiting_since < self._timeout * 1e9:
                return Verdict(Act.SILENT)
            if fault.cause is Cause.WAITING:  # in vain: a command of whoever drove before is not to last until it ends
                return Verdict(self._stand())
        return self._stop_for(fault)

    def _stop_for(self, fault: Fault) -> Verdict:
        self._good_cycles = 0
        is_new = self._fault is None or self._fault.cause is not fault.cause
        self._fault = fault
        return Verdict(self._stand(), fault=fault, is_new=is_new)

    def _stand(self) -> Act:
        """One zero command, unless the robot stands already."""
        return Act.SILENT if self._standing else Act.STOP

    def _wait(self, now: Moment, act: Act, reason: str) -> Verdict:
        """Say that inputs are only coming up, and give them time."""
        self._good_cycles = 0
        self._fault = Fault(Cause.WAITING, reason)
        self._begin_waiting(now)
        return Verdict(act, fault=self._fault, is_new=True)

    # Checks

    def _check_clock(self, now: Moment) -> None:
        """ROS time goes forward, and if it is simulated, it goes at all."""
        if self._clock_trouble:
            raise Fault(Cause.CLOCK_INVALID, self._clock_trouble)
        seen, seen_at = self._clock_seen
        if now.ros != seen:
            self._clock_seen = (now.ros, now.steady)
        # Wall time goes as the steady clock does, unless somebody sets it.
        stepped = 0 if now.is_simulated or not seen else (now.ros - seen) - (now.steady - seen_at)
        if now.ros < seen or abs(stepped) > CLOCK_STEP:  # to zero, too
            self._forget()
            self._begin_waiting(now)
            by = abs(stepped or now.ros - seen) / 1e9
            if stepped > 0:
                raise Fault(Cause.CLOCK_JUMPED_AHEAD, f"the clock was set ahead by {by:.2f} s; waiting for new inputs")
            raise Fault(Cause.CLOCK_JUMPED_BACK, f"ROS time jumped back by {by:.2f} s; waiting for new inputs")
        if now.ros == 0:
            raise Fault(Cause.WAITING, "waiting for /clock")
        if seen == 0:  # simulated time has come up: what arrived before has no time of arrival
            self._forget()
            self._begin_waiting(now)
        if now.ros == seen and now.steady - seen_at > self._timeout * 1e9:
            raise Fault(
                Cause.CLOCK_STOPPED,
                f"/clock has not advanced for {(now.steady - seen_at) / 1e9:.2f} s; check that the simulator runs",
            )

    def _count_late(self, now: Moment) -> None:
        late = now.ros - self._last_cycle.ros > 1.5e9 * self._period
        self._late_cycles = self._late_cycles + 1 if late else 0
        self._last_cycle = now

    def _check_deadline(self) -> None:
        """Control cycles follow each other at the policy's period."""
        if self._late_cycles >= LATE_CYCLES:
            raise Fault(
                Cause.DEADLINE,
                f"{self._late_cycles} control cycles in a row came later than the period of {self._period:g} s; "
                "give the node more of the computer",
            )

    def _check_silence(self, now: Moment) -> None:
        """Control cycles come at all."""
        silent = now.arrival - self._last_cycle.arrival
        if silent > (self._timeout + self._period) * 1e9:
            raise Fault(Cause.DEADLINE, f"no control cycle has run for {silent / 1e9:.2f} s; check the clocks")

    def _begin_waiting(self, now: Moment) -> None:
        """Inputs may be missing for one timeout from now on: they are only coming up."""
        self._waiting_since = now.steady
        self._last_cycle = now
        self._late_cycles = 0


def _to_fault(error: Exception) -> Fault:
    """What an error in a control cycle stops the robot for; the error is its cause in Python's sense, too."""
    if isinstance(error, Fault):
        return error
    if isinstance(error, TooOldError):
        fault = Fault(Cause.STALE, str(error))
    elif isinstance(error, UnsafeCommandError):
        fault = Fault(Cause.OUTPUT, f"{error}; replace the policy file")
    elif isinstance(error, KdmarlError):
        fault = Fault(Cause.MALFORMED, str(error))
    else:
        fault = Fault(Cause.INTERNAL, f"internal error: {error!r}; see the log")
    fault.__cause__ = error
    return fault
