"""The control loop of one robot: drive while everything can be trusted, else stand and say why."""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable

from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node
from rclpy.timer import Timer

from kdmarl_core.contract import KdmarlError
from kdmarl_core.runtime import Controller, TooOldError, UnsafeCommandError
from kdmarl_core.runtime.controller import SENSOR_SPACING
from kdmarl_core.runtime.faults import WAITS, Cause, Fault
from kdmarl_ros.robot.diagnostics import ERROR, OK, WARN, Diagnostics
from kdmarl_ros.robot.inputs import Inputs
from kdmarl_ros.robot.latest import arrival_time

RESUME_CYCLES = 3
"""Good control cycles in a row after which a stopped robot moves again, at the soonest."""

LATE_CYCLES = 3
"""Late control cycles in a row that stop the robot."""

CLOCK_STEP = 200_000_000
"""By which wall time and the steady clock may differ between two looks at them [ns]; more is a clock that was set."""

SOONEST, LATEST = 0.75, SENSOR_SPACING
"""From one control cycle to the next that a sensor starts, and to the one that the timer starts for want of it
[periods]."""


class ControlLoop:
    """Runs a controller at its period on ROS time, under a watchdog on the steady clock.

    The robot either drives or stands. Any fault makes it stand: one zero command at once, then silence, until
    ``RESUME_CYCLES`` cycles in a row found nothing wrong, or as many as the braking takes at the limits of the robot's
    type: a command starts from zero, and so has the body to. ``controller`` and ``inputs`` are those in use.
    """

    def __init__(
        self,
        node: Node,
        controller: Controller,
        inputs: Inputs,
        publish: Callable[[float, float], None],
        diagnostics: Diagnostics,
        on_sensor: bool = False,
    ) -> None:
        """Prepare, without starting.

        Args:
            node: whose clock and executor are used.
            controller: of the robot.
            inputs: of the robot; their timeout is the watchdog's, too.
            publish: gives the robot a forward speed [m/s] and a yaw rate [rad/s].
            diagnostics: told of every change.
            on_sensor: whether a sensor's new message starts a cycle, rather than the timer.
        """
        self.controller = controller
        self.inputs = inputs
        self._node = node
        self._clock = node.get_clock()
        self._publish = publish
        self._diagnostics = diagnostics
        self._on_sensor = on_sensor
        self._listen()
        self._timer: Timer | None = None
        self._watchdog: Timer | None = None
        self._fault: Fault | None = None
        self._standing = True
        self._last_command = (0.0, 0.0)
        """that was given, stops aside [m/s, rad/s]"""
        self._braking_time = 0.0
        """of the last stop [s]"""
        self._good_cycles = 0
        self._late_cycles = 0
        self._waiting_since = 0
        """steady [ns]"""
        self._last_cycle = (0, 0)
        """in ROS time and as arrival time [ns]"""
        self._clock_seen = (0, 0)
        """ROS time, and the steady time at which it was new [ns]"""
        self._clock_fault: Fault | None = None

    @property
    def standing(self) -> bool:
        """Whether the last command, if any, was zero for good."""
        return self._standing

    def start(self) -> None:
        """Drive as soon as all inputs are there."""
        self.inputs.clear()
        self.controller.reset()
        self._clock_fault = None
        self._standing = False  # a command of whoever drove the robot before may still be in force
        self._wait("waiting for the first inputs" if self._now() else "waiting for /clock")
        self._clock_seen = (self._now(), time.monotonic_ns())
        self._start_timer()
        # Each cycle winds it up anew, so that it wakes the node only when one has not come in time.
        self._watchdog = self._node.create_timer(
            self.controller.period, self._watch, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )

    def stop(self) -> None:
        """Stand, and run no more."""
        for timer in (self._timer, self._watchdog):
            if timer is not None:
                self._node.destroy_timer(timer)
        self._timer = self._watchdog = None
        self._stand()

    def swap(self, controller: Controller, inputs: Inputs) -> None:
        """Drive by another controller from the next cycle on, without a jerk.

        Stand first where other inputs have to come, or where it cannot keep what the scan guard has promised so far.
        """
        reason = ""
        if inputs is not self.inputs:
            reason = "waiting for the new policy's inputs"
        elif not (self._standing or controller.guards_like(self.controller)):
            reason = "standing before the new policy drives, which brakes less or looks less often"
        controller.take_over(self.controller)
        active = self._timer is not None
        retime = active and controller.period != self.controller.period
        self._good_cycles = 0
        self.controller, self.inputs = controller, inputs
        self._listen()
        if active and reason:
            self.pause(reason)
        if retime:
            self._start_timer()
            self._wind_watchdog(1.0)

    def pause(self, reason: str) -> None:
        """Stand, and drive on from there once the inputs are seen to be good."""
        self._stand()
        self._wait(reason)

    def trust_clock(self, trouble: str) -> None:
        """Stand while ``trouble`` says what is wrong with the last message on ``/clock``; drive on when it is empty.

        At once: the next cycle may come right after a message that is good again.
        """
        self._clock_fault = Fault(Cause.CLOCK_INVALID, trouble) if trouble else None
        if self._clock_fault and self._timer is not None:
            self._halt(self._clock_fault)

    # One cycle

    def _cycle(self) -> None:
        started = time.perf_counter()
        now, arrival_now = self._now(), arrival_time(self._clock)
        self._count_late(now, arrival_now)
        self._wind_watchdog(1.0)
        try:
            self._check_clock(now)
            command = self.controller(self.inputs.readings(now, arrival_now))
            # After the work, which goes on while the robot stands: else it would seem to keep time by idling.
            self._check_deadline()
        except Fault as fault:
            self._halt(fault)
        except TooOldError as error:
            self._halt(Fault(Cause.STALE, str(error)))
        except UnsafeCommandError as error:
            self._halt(Fault(Cause.OUTPUT, f"{error}; replace the policy file"))
        except KdmarlError as error:
            self._halt(Fault(Cause.MALFORMED, str(error)))
        except Exception as error:  # a robot stops on any fault, ours too
            self._halt(Fault(Cause.INTERNAL, f"internal error: {error!r}; see the log"))
            self._node.get_logger().error(traceback.format_exc(), throttle_duration_sec=5.0)
        else:
            self._drive(*command.tolist())
        self._diagnostics.compute_time = time.perf_counter() - started

    def _drive(self, linear: float, angular: float) -> None:
        """Give a command, unless the robot stands and has to be sure first."""
        if self._fault is not None:
            self._good_cycles += 1
            if self._good_cycles < self._cycles_to_resume():
                self.controller.reset()
                return
            self._fault = None
            self._node.get_logger().info("driving")
            self._diagnostics.set(OK, "driving")
        self._standing = False
        self._last_command = linear, angular
        self._diagnostics.cycles += 1
        if self.controller.guard:
            self._diagnostics.guarded_cycles += self.controller.guard.changed
        self._publish(linear, angular)

    def _cycles_to_resume(self) -> int:
        """Good cycles in a row before the next command: those of the braking, and more if the stop was for a reason."""
        shortest = self.controller.period * (SOONEST if self._on_sensor else 1.0)
        braking = math.ceil(self._braking_time / shortest - 1e-6)
        return max(braking, RESUME_CYCLES) if self._standing else braking

    def _halt(self, fault: Fault) -> None:
        """Make the robot stand because of ``fault``."""
        self._good_cycles = 0
        if fault.cause in (Cause.WAITING, Cause.MISSING) and self._is_waiting():
            self.controller.reset()
            return
        if fault.cause is Cause.WAITING:  # in vain: a command of whoever drove before is not to last until it ends
            self._stand()
            return
        is_new = self._fault is None or self._fault.cause is not fault.cause
        self._fault = fault
        self._stand()
        if fault.cause in WAITS:
            if is_new:
                self._node.get_logger().info(fault.reason)
            self._diagnostics.set(WARN, fault.reason, at_once=is_new)
            return
        if is_new:
            self._diagnostics.stops[fault.cause] += 1
            self._node.get_logger().warning(f"stopped: {fault.reason}")
        self._diagnostics.set(ERROR, f"stopped: {fault.reason}", at_once=is_new)

    def _stand(self) -> None:
        """One zero command, unless the robot stands already."""
        if not self._standing:
            self._publish(0.0, 0.0)
            self._standing = True  # not before: what cannot be published is no stop
            self._braking_time = self.controller.braking_time(*self._last_command)
        self.controller.reset()

    # Checks

    def _watch(self) -> None:
        """Catch what lets inputs run dry or keeps control cycles from running."""
        self._wind_watchdog(0.5)  # something is wrong: look more often
        now, arrival_now = self._now(), arrival_time(self._clock)
        try:
            self._check_clock(now)
            self.inputs.check(now, arrival_now)
            silent = arrival_now - self._last_cycle[1]
            if silent > (self.inputs.timeout + self.controller.period) * 1e9:
                self._start_timer()
                raise Fault(Cause.DEADLINE, f"no control cycle has run for {silent / 1e9:.2f} s; check the clocks")
        except Fault as fault:
            self._halt(fault)

    def _wind_watchdog(self, periods: float) -> None:
        """Let it look so many control periods from now on."""
        if self._watchdog is not None:
            self._watchdog.timer_period_ns = round(periods * self.controller.period * 1e9)
            self._watchdog.reset()

    def _check_clock(self, now: int) -> None:
        """ROS time goes forward, and if it is simulated, it goes at all."""
        if self._clock_fault:
            raise self._clock_fault
        seen, seen_at = self._clock_seen
        steady = time.monotonic_ns()
        if now != seen:
            self._clock_seen = (now, steady)
        # Wall time goes as the steady clock does, unless somebody sets it.
        stepped = 0 if self._clock.ros_time_is_active or not seen else (now - seen) - (steady - seen_at)
        if now < seen or abs(stepped) > CLOCK_STEP:  # to zero, too
            self.inputs.clear()
            self._begin_waiting()
            self._start_timer()
            by = abs(stepped or now - seen) / 1e9
            if stepped > 0:
                raise Fault(Cause.CLOCK_JUMPED_AHEAD, f"the clock was set ahead by {by:.2f} s; waiting for new inputs")
            raise Fault(Cause.CLOCK_JUMPED_BACK, f"ROS time jumped back by {by:.2f} s; waiting for new inputs")
        if now == 0:
            raise Fault(Cause.WAITING, "waiting for /clock")
        if seen == 0:  # simulated time has come up: what arrived before has no time of arrival
            self.inputs.clear()
            self._begin_waiting()
        if now == seen and steady - seen_at > self.inputs.timeout * 1e9:
            raise Fault(
                Cause.CLOCK_STOPPED,
                f"/clock has not advanced for {(steady - seen_at) / 1e9:.2f} s; check that the simulator runs",
            )

    def _count_late(self, now: int, arrival_now: int) -> None:
        late = now - self._last_cycle[0] > 1.5e9 * self.controller.period
        self._late_cycles = self._late_cycles + 1 if late else 0
        self._last_cycle = (now, arrival_now)

    def _check_deadline(self) -> None:
        """Control cycles follow each other at the policy's period."""
        if self._late_cycles >= LATE_CYCLES:
            raise Fault(
                Cause.DEADLINE,
                f"{self._late_cycles} control cycles in a row came later than the period of "
                f"{self.controller.period:g} s; give the node more of the computer",
            )

    def _wait(self, reason: str) -> None:
        """Say that inputs are only coming up, and give them time."""
        self._good_cycles = 0
        self._fault = Fault(Cause.WAITING, reason)
        self._diagnostics.set(WARN, reason)
        self._begin_waiting()

    def _begin_waiting(self) -> None:
        """Inputs may be missing for one timeout from now on: they are only coming up."""
        self._waiting_since = time.monotonic_ns()
        self._last_cycle = (self._now(), arrival_time(self._clock))
        self._late_cycles = 0

    def _is_waiting(self) -> bool:
        return time.monotonic_ns() - self._waiting_since < self.inputs.timeout * 1e9

    def _now(self) -> int:
        return self._clock.now().nanoseconds

    # What starts a cycle

    def _listen(self) -> None:
        if self._on_sensor:
            self.inputs.listen(self._on_news)

    def _on_news(self) -> None:
        """Run a cycle on what the sensor has just said, unless the last one is too recent.

        Not here and now: what other sensors sent at the same moment may still wait to be taken.
        """
        period = self.controller.period * 1e9
        if self._timer is not None and self._now() - self._last_cycle[0] >= SOONEST * period:
            self._timer.timer_period_ns = 1
            self._timer.reset()

    def _start_timer(self) -> None:
        """Run cycles at whole multiples of the period in ROS time.

        A simulator publishes its sensors at such times, so every cycle sees the newest, and a simulator that
        waits for commands is not kept waiting. Where a sensor starts the cycles, the timer only fills in for it.
        """
        if self._timer is not None:
            self._node.destroy_timer(self._timer)
        self._timer = self._node.create_timer(self._to_next_cycle() / 1e9, self._tick)

    def _tick(self) -> None:
        self._cycle()
        if self._timer is not None:
            # Aligned anew every time: with a fast or coarse /clock a timer fires late, and would stay late.
            self._timer.timer_period_ns = self._to_next_cycle()
            self._timer.reset()

    def _to_next_cycle(self) -> int:
        """Time to the next whole multiple of the period, or to the end of the wait for the sensor [ns]."""
        period = round(self.controller.period * 1e9)
        if self._on_sensor:
            longest = round(LATEST * period)  # from the start of the last cycle; the clock may have been set since
            return min(max(self._last_cycle[0] + longest - self._now(), 1), longest)
        return period - self._now() % period
