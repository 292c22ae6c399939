"""The control loop of one robot: drive while everything can be trusted, otherwise stand and report why."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable

from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node
from rclpy.timer import Timer

from kdmarl_core.runtime import Controller
from kdmarl_core.runtime.controller import SENSOR_SOONEST, SENSOR_SPACING
from kdmarl_core.runtime.domain_watch import DomainWatch
from kdmarl_core.runtime.faults import WAITS, Cause, Fault
from kdmarl_core.runtime.gate import Act, Command, Gate, Moment, Verdict
from kdmarl_ros.robot.diagnostics import ERROR, OK, WARN, Diagnostics
from kdmarl_ros.robot.inputs import Inputs

JUMPED = frozenset({Cause.CLOCK_JUMPED_BACK, Cause.CLOCK_JUMPED_AHEAD})
"""Causes after which timers on ROS time must be restarted."""


class ControlLoop:
    """Runs a controller at its period on ROS time, under a watchdog on the steady clock.

    A :class:`~kdmarl_core.runtime.gate.Gate` decides about each cycle; this class has the timers, topics and reports.
    ``controller`` and ``inputs`` are those in use.
    """

    def __init__(
        self,
        node: Node,
        controller: Controller,
        inputs: Inputs,
        publish: Callable[[float, float, float], None],
        diagnostics: Diagnostics,
        on_sensor: bool = False,
    ) -> None:
        """Prepare, without starting.

        Args:
            node: whose clock and executor are used.
            controller: of the robot.
            inputs: of the robot; their timeout is also the watchdog's.
            publish: commands a speed forward and to the left [m/s] and a yaw rate [rad/s].
            diagnostics: receives every change.
            on_sensor: whether a sensor's new message starts a cycle, rather than the timer.
        """
        self.controller = controller
        self.inputs = inputs
        self._node = node
        self._clock = node.get_clock()
        self._publish = publish
        self._diagnostics = diagnostics
        self._on_sensor = on_sensor
        self._watch_domain()
        self._withheld = False
        """whether a command was computed and not published"""
        self._gate = Gate(
            controller.period,
            inputs.timeout,
            controller.braking_time,
            forget=lambda: self.inputs.clear(),  # late binding: the inputs in use at that time
            shortest=SENSOR_SOONEST if on_sensor else 1.0,
        )
        self._listen()
        self._timer: Timer | None = None
        self._soon: Timer | None = None
        """starts the cycle that a sensor's message asks for"""
        self._watchdog: Timer | None = None

    @property
    def standing(self) -> bool:
        """Whether the last command, if any, was a stop."""
        return self._gate.standing

    def start(self) -> None:
        """Drive as soon as all inputs are available."""
        self.inputs.clear()
        self._obey(self._gate.open(self._moment()))
        self._start_timer()
        if self._on_sensor:
            # On the steady clock: a simulator in lockstep lets ROS time stand until it has heard of this cycle.
            self._soon = self._node.create_timer(0.0, self._tick_now, clock=Clock(clock_type=ClockType.STEADY_TIME))
            self._soon.cancel()
        # Each cycle resets it, so that it wakes the node only if a cycle is late.
        self._watchdog = self._node.create_timer(
            self.controller.period, self._watch, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )

    def stop(self) -> None:
        """Stop the robot and the timers."""
        for timer in (self._timer, self._soon, self._watchdog):
            if timer is not None:
                self._node.destroy_timer(timer)
        self._timer = self._soon = self._watchdog = None
        self._obey(self._gate.close())

    def swap(self, controller: Controller, inputs: Inputs) -> None:
        """Drive with another controller from the next cycle on, without a jerk.

        Stand first if other inputs have to come up, or if the new scan guard could not stop from the current speed.
        """
        reason = ""
        if inputs is not self.inputs:
            reason = "waiting for the new policy's inputs"
        elif not (self.standing or controller.guards_like(self.controller)):
            reason = "standing before the new policy drives, which brakes less or looks less often"
        controller.take_over(self.controller)
        active = self._timer is not None
        retime = active and controller.period != self.controller.period
        self.controller, self.inputs = controller, inputs
        self._watch_domain()
        self._gate.change(controller.period, inputs.timeout, controller.braking_time)
        self._listen()
        if active and reason:
            self.pause(reason)
        if retime:
            self._start_timer()
            self._wind_watchdog(1.0)

    def pause(self, reason: str) -> None:
        """Stop, and drive on once the inputs are good."""
        self._obey(self._gate.pause(self._moment(), reason))

    def trust_clock(self, trouble: str) -> None:
        """Stand while ``trouble`` says what is wrong with the last message on ``/clock``; drive on once it is empty."""
        self._obey(self._gate.trust_clock(trouble))

    # One cycle

    def _cycle(self) -> None:
        started = time.perf_counter()
        now = self._moment()
        self._wind_watchdog(1.0)
        verdict = self._gate.cycle(now, lambda: self._command(now))
        self._obey(verdict)
        if verdict.fault and verdict.fault.cause in JUMPED:
            self._start_timer()
        self._diagnostics.compute_time = time.perf_counter() - started

    def _command(self, now: Moment) -> Command:
        readings = self.inputs.readings(now.ros, now.arrival)
        self._domain.note(self._motion, readings.velocity)
        command = tuple(self.controller(readings).tolist())
        self._withheld = True
        return command

    def _watch_domain(self) -> None:
        """Compare the robot with the one that the policy was trained on."""
        period = self.controller.period
        self._domain = DomainWatch(self.controller.action, period, self.inputs.rates(1 / period), self.inputs.intervals)
        self._diagnostics.domain = self._domain
        self._motion = 0.0, 0.0, 0.0
        """of the last command"""

    def _watch(self) -> None:
        """Check for missing inputs and missing control cycles."""
        self._wind_watchdog(0.5)  # something is wrong: check more often
        now = self._moment()
        verdict = self._gate.watch(now, lambda: self.inputs.check(now.ros, now.arrival))
        self._obey(verdict)
        if verdict and verdict.fault and verdict.fault.cause in JUMPED | {Cause.DEADLINE}:
            self._start_timer()

    def _wind_watchdog(self, periods: float) -> None:
        """Set the watchdog to fire in this many control periods."""
        if self._watchdog is not None:
            self._watchdog.timer_period_ns = round(periods * self.controller.period * 1e9)
            self._watchdog.reset()

    # What the gate says

    def _obey(self, verdict: Verdict | None) -> None:
        """Do what the gate says, then report it: reporting may block."""
        if verdict is None:
            return
        if verdict.act is Act.DRIVE:
            if verdict.is_new:
                self._node.get_logger().info("driving")
                self._diagnostics.set(OK, "driving")
            self._drive(verdict.command)
            return
        if verdict.act is Act.STOP:
            self._publish(0.0, 0.0, 0.0)
            self._gate.stop_given()  # only now: a failed publication does not stop the robot
        self.controller.reset(given=not self._withheld)
        self._domain.reset()
        self._motion = 0.0, 0.0, 0.0
        self._withheld = False
        if verdict.fault:
            self._report(verdict.fault, verdict.is_new)

    def _drive(self, command: Command) -> None:
        self._diagnostics.cycles += 1
        if self.controller.guard:
            self._diagnostics.guarded_cycles += self.controller.guard.changed
        self._motion = self.controller.motion(command)
        self._publish(*self._motion)
        self._withheld = False

    def _report(self, fault: Fault, is_new: bool) -> None:
        """Report why the robot stands."""
        logger = self._node.get_logger()
        if fault.cause in WAITS:
            if is_new and fault.cause is not Cause.WAITING:
                logger.info(fault.reason)
            self._diagnostics.set(WARN, fault.reason, at_once=is_new)
            return
        if is_new:
            self._diagnostics.stops[fault.cause] += 1
            logger.warning(f"stopped: {fault.reason}")
        self._diagnostics.set(ERROR, f"stopped: {fault.reason}", at_once=is_new)
        if fault.cause is Cause.INTERNAL and fault.__cause__:
            logger.error("".join(traceback.format_exception(fault.__cause__)), throttle_duration_sec=5.0)

    def _moment(self) -> Moment:
        return Moment(self._now(), time.monotonic_ns(), self._clock.ros_time_is_active)

    def _now(self) -> int:
        """ROS time [ns]."""
        return self._clock.now().nanoseconds

    # What starts a cycle

    def _listen(self) -> None:
        if self._on_sensor:
            self.inputs.listen(self._on_news)

    def _on_news(self, stamped: int) -> None:
        """Run a cycle on the sensor's new message, ``stamped`` [ns], unless the last cycle is too recent.

        Not in this callback: messages of other sensors, sent at the same time, may not have been taken yet. In
        simulated time a message that is newer than the clock tells the time: the clock may come after the sensors.
        """
        period, now = self.controller.period * 1e9, self._now()
        time = max(now, min(stamped, now + round(period))) if self._clock.ros_time_is_active else now
        if self._soon is not None and time - self._gate.last_cycle >= SENSOR_SOONEST * period:
            self._soon.reset()

    def _start_timer(self) -> None:
        """Run cycles at whole multiples of the period in ROS time.

        A simulator publishes its sensors at such times, so every cycle sees the newest, and a simulator that waits for
        commands gets them at once. If a sensor starts the cycles, the timer is only a fallback.
        """
        if self._timer is not None:
            self._node.destroy_timer(self._timer)
        self._timer = self._node.create_timer(self._to_next_cycle() / 1e9, self._tick)

    def _tick_now(self) -> None:
        if self._soon is not None:
            self._soon.cancel()
            self._tick()

    def _tick(self) -> None:
        self._cycle()
        if self._timer is not None:
            # Re-aligned every time: with a fast or coarse /clock a timer fires late, and would stay late.
            self._timer.timer_period_ns = self._to_next_cycle()
            self._timer.reset()

    def _to_next_cycle(self) -> int:
        """Time to the next whole multiple of the period, or until the wait for the sensor ends [ns]."""
        period = round(self.controller.period * 1e9)
        if self._on_sensor:
            # From the start of the last cycle; the clock may have been set since.
            longest = round(SENSOR_SPACING * period)
            return min(max(self._gate.last_cycle + longest - self._now(), 1), longest)
        return period - self._now() % period
