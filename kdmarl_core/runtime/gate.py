"""The gate between a controller and its robot: decides after each control cycle whether to drive, stop or be silent."""

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
"""Minimum number of consecutive good control cycles before a stopped robot moves again."""

LATE_CYCLES = 3
"""Consecutive late control cycles that stop the robot."""

CLOCK_STEP = 200_000_000
"""Largest difference of elapsed wall time and steady time between two readings [ns]; more means the clock was set."""

Command = tuple[float, ...]
"""In the units of the robot's action space."""


class Moment(NamedTuple):
    """A reading of the clocks."""

    ros: int
    """ROS time: wall time, or simulated time, which is zero before the first ``/clock`` [ns]"""
    steady: int
    """monotonic clock [ns]"""
    is_simulated: bool

    @property
    def arrival(self) -> int:
        """On the clock for measuring ages: ROS time if simulated, since a simulator may run at any speed [ns]."""
        return self.ros if self.is_simulated else self.steady


class Act(Enum):
    """What to do now."""

    DRIVE = "drive"
    """publish the command"""
    STOP = "stop"
    """publish one zero command"""
    SILENT = "silent"
    """publish nothing"""


class Verdict(NamedTuple):
    """What to do now, and what to report."""

    act: Act
    command: Command = ()
    """to publish, if ``act`` is ``DRIVE``"""
    fault: Fault | None = None
    """why the robot stands; None if it drives, or there is nothing new to report"""
    is_new: bool = False
    """it starts to drive, or stands for another cause than before"""


class Gate:
    """Lets a robot drive while everything can be trusted, otherwise stops it and keeps it standing.

    Any fault is one ``STOP``, then silence, until there were no faults in ``RESUME_CYCLES`` consecutive cycles, or in
    all that braking takes: commands start from zero again, so the body must have stopped. A ``STOP`` counts as
    published once :meth:`stop_given` is called. Threads and clocks are the caller's: times are passed in, and steady
    ones never decrease. A gate is closed at first.
    """

    def __init__(
        self,
        period: float,
        timeout: float,
        braking_time: Callable[..., float],
        forget: Callable[[], None],
        shortest: float = 1.0,
    ) -> None:
        """Make a gate for a robot.

        Args:
            period: of the control cycles [s].
            timeout: for inputs, the clock and the control cycles [s].
            braking_time: the values of a command → how long the robot takes to stop from its motion [s].
            forget: called when the ages of all received inputs are invalid, since the clock was set.
            shortest: shortest regular time between two cycles [periods].
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
        self._last_command: Command = ()
        """last command that passed; empty before the first"""
        self._braking_time = 0.0
        """of the last stop [s]"""
        self._good_cycles = 0
        self._late_cycles = 0
        self._waiting_since = 0
        """steady [ns]"""
        self._last_cycle = Moment(0, 0, False)
        self._clock_seen = (0, 0)
        """last ROS time, and the steady time at which it was first read [ns]"""
        self._clock_trouble = ""
        """what is wrong with ROS time"""

    @property
    def standing(self) -> bool:
        """Whether the last command, if any, was a stop."""
        return self._standing

    @property
    def last_cycle(self) -> int:
        """ROS time at which the last cycle ran, or the wait for inputs began [ns]."""
        return self._last_cycle.ros

    def open(self, now: Moment) -> Verdict:
        """Let the robot drive as soon as its inputs are available."""
        self._is_open = True
        self._clock_trouble = ""
        self._standing = False  # a command of a previous driver may still be in force
        self._clock_seen = (now.ros, now.steady)
        return self._wait(now, Act.SILENT, "waiting for the first inputs" if now.ros else "waiting for /clock")

    def close(self) -> Verdict:
        """Stop, and let no more commands pass."""
        self._is_open = False
        return Verdict(self._stand())

    def pause(self, now: Moment, reason: str) -> Verdict:
        """Stop, and let the robot drive on once its inputs are good."""
        return self._wait(now, self._stand(), reason) if self._is_open else Verdict(self._stand())

    def stop_given(self) -> None:
        """The zero command of the last ``STOP`` has been published."""
        self._standing = True
        self._braking_time = self._find_braking_time(*self._last_command) if self._last_command else 0.0

    def change(self, period: float, timeout: float, braking_time: Callable[..., float]) -> None:
        """Continue with another controller; arguments as for the constructor."""
        self._period, self._timeout, self._find_braking_time = period, timeout, braking_time
        self._good_cycles = 0

    def cycle(self, now: Moment, work: Callable[[], Command]) -> Verdict:
        """Run one control cycle.

        Args:
            now: when it starts.
            work: returns the command. It runs only if the clock can be trusted; what it raises becomes a fault: a
                :class:`Fault` itself, other errors by their type.
        """
        if not self._is_open:
            return Verdict(self._stand())
        self._count_late(now)
        try:
            self._check_clock(now)
            command = work()
            # After the work, which goes on while the robot stands: otherwise an idle cycle would seem to be on time.
            self._check_deadline()
        except Exception as error:  # a robot stops on any error, including bugs
            return self._halt(now, _to_fault(error))
        return self._pass(command)

    def watch(self, now: Moment, check: Callable[[], None]) -> Verdict | None:
        """Detect missing inputs and missing control cycles.

        Args:
            now: current time.
            check: checks the inputs, and raises a :class:`Fault` if one cannot be trusted.

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
        """Keep the robot standing while ``trouble`` says what is wrong with ROS time, until it is empty.

        Takes effect at once: by the next cycle the trouble may be over.

        Returns:
            None if nothing is wrong, or the gate is closed.
        """
        self._clock_trouble = trouble
        return self._stop_for(Fault(Cause.CLOCK_INVALID, trouble)) if trouble and self._is_open else None

    # Verdicts

    def _pass(self, command: Command) -> Verdict:
        """Let a command pass, unless the robot stands and has not had enough good cycles yet."""
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
        """Consecutive good cycles before the next command: enough for braking, and ``RESUME_CYCLES`` after a stop."""
        braking = math.ceil(self._braking_time / (self._shortest * self._period) - 1e-6)
        return max(braking, RESUME_CYCLES) if self._standing else braking

    def _halt(self, now: Moment, fault: Fault) -> Verdict:
        """Stop the robot because of ``fault``, unless it has not driven yet and its inputs are still coming up."""
        self._good_cycles = 0
        if self._fault is not None and fault.cause in (Cause.WAITING, Cause.MISSING):
            if now.steady - self._waiting_since < self._timeout * 1e9:
                return Verdict(Act.SILENT)
            if fault.cause is Cause.WAITING:  # for too long: a previous driver's command must not stay in force
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
        """Report that inputs are still coming up, and give them time."""
        self._good_cycles = 0
        self._fault = Fault(Cause.WAITING, reason)
        self._begin_waiting(now)
        return Verdict(act, fault=self._fault, is_new=True)

    # Checks

    def _check_clock(self, now: Moment) -> None:
        """Check that ROS time does not jump, and that simulated time advances."""
        if self._clock_trouble:
            raise Fault(Cause.CLOCK_INVALID, self._clock_trouble)
        seen, seen_at = self._clock_seen
        if now.ros != seen:
            self._clock_seen = (now.ros, now.steady)
        # Wall time advances like the steady clock, unless it is set.
        stepped = 0 if now.is_simulated or not seen else (now.ros - seen) - (now.steady - seen_at)
        if now.ros < seen or abs(stepped) > CLOCK_STEP:  # also back to zero
            self._forget()
            self._begin_waiting(now)
            by = abs(stepped or now.ros - seen) / 1e9
            if stepped > 0:
                raise Fault(Cause.CLOCK_JUMPED_AHEAD, f"the clock was set ahead by {by:.2f} s; waiting for new inputs")
            raise Fault(Cause.CLOCK_JUMPED_BACK, f"ROS time jumped back by {by:.2f} s; waiting for new inputs")
        if now.ros == 0:
            raise Fault(Cause.WAITING, "waiting for /clock")
        if seen == 0:  # the first simulated time: earlier messages have no valid time of arrival
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
        """Check that control cycles run at the policy's period."""
        if self._late_cycles >= LATE_CYCLES:
            raise Fault(
                Cause.DEADLINE,
                f"{self._late_cycles} control cycles in a row were later than the period of {self._period:g} s; "
                "reduce the load on this computer",
            )

    def _check_silence(self, now: Moment) -> None:
        """Check that control cycles run at all."""
        silent = now.arrival - self._last_cycle.arrival
        if silent > (self._timeout + self._period) * 1e9:
            raise Fault(Cause.DEADLINE, f"no control cycle has run for {silent / 1e9:.2f} s; check the clocks")

    def _begin_waiting(self, now: Moment) -> None:
        """Tolerate missing inputs for one timeout from now on: they are still coming up."""
        self._waiting_since = now.steady
        self._last_cycle = now
        self._late_cycles = 0


def _to_fault(error: Exception) -> Fault:
    """The fault for an error in a control cycle; the error is also its ``__cause__``."""
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
