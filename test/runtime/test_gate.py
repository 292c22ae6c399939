"""The gate in any order of events and at any times: when it lets a robot drive, when it stops it, when it is silent."""

import math

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from kdmarl_core.contract import KdmarlError
from kdmarl_core.runtime import Gate
from kdmarl_core.runtime.faults import Cause, Fault
from kdmarl_core.runtime.gate import LATE_CYCLES, RESUME_CYCLES, Act, Moment

SECOND = 1_000_000_000
PERIOD, TIMEOUT = 0.1, 0.5
COMING_UP = (Cause.WAITING, Cause.MISSING)
ERRORS = [Fault(cause, f"because of {cause.value}") for cause in (*COMING_UP, Cause.STALE, Cause.NO_GOAL)]
ERRORS += [KdmarlError("scan has no beams"), RuntimeError("cheese")]

times = st.one_of(st.just(PERIOD), st.floats(0.0, 3 * PERIOD), st.floats(0.0, 3.0))
brakings = st.sampled_from([0.0, 0.12, 0.32, 0.65])
silent_cycles = st.integers(0, 12)
outcomes = st.sampled_from([(0.5, 0.0), (0.0, 0.0)]) | st.sampled_from(ERRORS)


class Robot(RuleBasedStateMachine):
    """A robot with one sensor under a gate, and what may be expected of it."""

    # The world

    @initialize(
        braking=brakings,
        shortest=st.sampled_from([1.0, 0.75]),
        rate=st.sampled_from([0.5, 1.0, 2.0]),
        is_up=st.booleans(),
        is_open=st.booleans(),
    )
    def begin(self, braking, shortest, rate, is_up, is_open):
        self.steady, self.ros = 50 * SECOND, 1_700_000_000 * SECOND
        self.rate, self.clock_runs, self.trouble = 1.0, True, ""
        self.is_simulated = isinstance(self, SimulatedRobot)
        if self.is_simulated:
            self.ros, self.rate, self.clock_runs = 10_000 * SECOND * is_up, rate, is_up
        self.true_time = 0
        """as the robot's clock would show it if nobody set it [ns]"""
        self.arrived = self.measured = None
        """when the sensor's message came, by the clock that ages are measured on, and in true time [ns]"""
        self.shortest = shortest
        self.period, self.braking = PERIOD, braking
        self.gate = Gate(PERIOD, TIMEOUT, self.braking_time, self.forget, shortest)
        self.is_open = False
        self.moves = False
        """by the last command; None while that may be of somebody else"""
        self.command = (0.0, 0.0)
        self.rest_time = 0.0
        """that the body takes to come to rest after the last stop [s]"""
        self.good = self.late = self.waiting_since = self.last_cycle = self.last_cycle_arrival = 0
        self.looked = (0, 0)
        """ROS time at the last look, and the steady time of the first that saw it [ns]"""
        self.found = None
        """what is wrong with the inputs or the command"""
        self.reported = None
        if is_open:
            self.opens()

    def braking_time(self, linear, angular):
        return self.braking if linear else 0.0

    def forget(self):
        self.arrived = None
        self.wait()

    def wait(self):
        """Inputs are coming up."""
        self.waiting_since = self.steady
        self.late, self.last_cycle, self.last_cycle_arrival = 0, self.ros, self.now().arrival

    def now(self):
        return Moment(self.ros, self.steady, self.is_simulated)

    def check(self):
        """As for any sensor: something has arrived, and not too long ago."""
        if self.arrived is None:
            self.fail(Fault(Cause.MISSING, "nothing has come"))
        if self.now().arrival - self.arrived > TIMEOUT * SECOND:
            self.fail(Fault(Cause.STALE, "nothing comes"))

    def fail(self, error):
        self.found = getattr(error, "cause", None)
        raise error.with_traceback(None)

    def age(self):
        """How old the message really is [s]."""
        return math.inf if self.arrived is None else (self.true_time - self.measured) / SECOND

    # What happens

    @rule(seconds=times)
    def time_passes(self, seconds):
        passed = round(seconds * SECOND)
        self.steady += passed
        if self.clock_runs:
            self.ros += round(self.rate * passed)
            self.true_time += round(self.rate * passed)

    @rule()
    def sensor_speaks(self):
        self.arrived, self.measured = self.now().arrival, self.true_time

    @rule(outcome=outcomes)
    def runs_a_cycle(self, outcome):
        self.cycle(outcome)

    @rule()
    def watchdog_looks(self):
        self.watch()

    @rule(cycles=st.integers(1, 12), periods=st.sampled_from([1.0, 1.6]), speaks=st.booleans())
    def cycles_follow_each_other(self, cycles, periods=1.0, speaks=True):
        """In time, or late after more than a period and a half; the sensor speaks before each, or to none."""
        for _ in range(cycles):
            self.time_passes(periods * self.period / self.rate)
            if speaks:
                self.sensor_speaks()
            self.cycle((0.5, 0.0))

    @rule()
    def all_is_well_until_it_drives(self):
        if self.is_open and not self.trouble and self.clock_runs and self.ros:
            longest = max(RESUME_CYCLES, math.ceil(0.65 / (self.shortest * self.period)))
            self.cycles_follow_each_other(1 + longest)  # the first may find what had been wrong before
            assert self.moves

    @precondition(lambda self: not self.is_open)
    @rule()
    def opens(self):
        self.arrived = None  # as the control loop does
        verdict = self.gate.open(self.now())
        assert verdict.act is Act.SILENT
        self.is_open, self.moves, self.trouble = True, None, ""
        self.looked = (self.ros, self.steady)
        self.is_waiting(verdict, "waiting for the first inputs" if self.ros else "waiting for /clock")

    @rule()
    def closes(self):
        self.is_open = False
        self.obey(self.gate.close(), Act.SILENT if self.moves is False else Act.STOP)

    @rule()
    def pauses(self):
        verdict = self.gate.pause(self.now(), "for once")
        self.obey(verdict, Act.SILENT if self.moves is False else Act.STOP)
        if self.is_open:
            self.is_waiting(verdict, "for once")

    @rule(braking=brakings, period=st.sampled_from([PERIOD, 2 * PERIOD]))
    def changes_its_controller(self, braking, period):
        self.braking, self.period = braking, period
        self.gate.change(period, TIMEOUT, self.braking_time)
        self.good = 0

    @rule(is_over=st.booleans())
    def clock_gives_no_time(self, is_over):
        """For a while, or in one message among good ones."""
        self.trouble = "/clock says no time"
        verdict = self.gate.trust_clock(self.trouble)
        if self.is_open:
            assert (verdict.fault.cause, verdict.fault.reason) == (Cause.CLOCK_INVALID, self.trouble)
            self.is_stopped(verdict)
        else:
            assert verdict is None
        if is_over:
            self.clock_gives_the_time()

    @rule()
    def clock_gives_the_time(self):
        self.trouble = ""
        assert self.gate.trust_clock("") is None

    @precondition(lambda self: self.ros > 1 and not self.trouble)
    @rule(seconds=st.floats(0.001, 5000.0) | st.just(1e9), watched=st.booleans(), cycles=silent_cycles)
    def clock_falls_back(self, seconds, watched, cycles):
        """By a little, or to zero where it is simulated."""
        self.watch()
        self.ros = max(self.ros - round(seconds * SECOND), 0 if self.is_simulated else 1)  # 0 is a simulator's alone
        self.is_seen_to_jump(watched, Cause.CLOCK_JUMPED_BACK)
        self.cycles_follow_each_other(cycles, speaks=False)

    def is_seen_to_jump(self, watched, cause):
        verdict = self.watch() if watched else self.cycle((0.5, 0.0))
        if self.is_open:
            assert verdict.fault.cause is cause
            assert self.arrived is None

    # What the gate says to it

    def cycle(self, outcome):
        given = []

        def work():
            self.check()
            if isinstance(outcome, Exception):
                self.fail(outcome)
            given.append(outcome)
            return outcome

        now, self.found = self.now(), None
        if self.is_open:
            self.late = self.late + 1 if now.ros - self.last_cycle > 1.5 * self.period * SECOND else 0
            self.last_cycle, self.last_cycle_arrival = now.ros, now.arrival
        verdict = self.gate.cycle(now, work)
        if not self.is_open:
            assert not given
            self.obey(verdict, Act.SILENT)
            return verdict
        self.look(now)
        if not given:
            self.is_stopped(verdict)
        elif verdict.fault:
            assert verdict.fault.cause is Cause.DEADLINE
            assert self.late >= LATE_CYCLES
            self.is_stopped(verdict)
        else:
            self.is_good(verdict, outcome)
        return verdict

    def watch(self):
        now, self.found = self.now(), None
        verdict = self.gate.watch(now, self.check)
        if not self.is_open:
            assert verdict is None
            return None
        self.look(now)
        if verdict is None:
            self.is_trustworthy()
            assert now.arrival - self.last_cycle_arrival <= (TIMEOUT + self.period) * SECOND
        else:
            self.is_stopped(verdict)
        return verdict

    def look(self, now):
        if not self.trouble and now.ros != self.looked[0]:
            self.looked = (now.ros, now.steady)

    def is_trustworthy(self):
        """Nothing that the robot drives by is older than allowed, or of unknown age."""
        assert self.is_open
        assert self.age() <= TIMEOUT
        assert not self.trouble
        assert self.ros > 0
        assert self.steady - self.looked[1] <= TIMEOUT * SECOND

    def is_good(self, verdict, outcome):
        """It drives on, or drives again as soon as it may, and no sooner."""
        self.good += 1
        cycles = math.ceil(self.rest_time / (self.shortest * self.period) - 1e-6)
        needed = 0 if self.moves else max(cycles, RESUME_CYCLES) if self.moves is False else cycles
        self.obey(verdict, Act.DRIVE if self.good >= needed else Act.SILENT)
        if verdict.act is Act.DRIVE:
            assert verdict.command == outcome
            assert verdict.is_new == (self.reported is not None)
            self.is_trustworthy()
            assert self.late < LATE_CYCLES
            self.reported = None

    def is_stopped(self, verdict):
        """One stop, if it does not stand, and the reason, if it is another than before."""
        self.good = 0
        cause = verdict.fault.cause if verdict.fault else self.found or Cause.WAITING
        is_early = self.steady - self.waiting_since < TIMEOUT * SECOND
        # What moves by somebody else's command goes on while inputs are only coming up.
        goes_on = self.moves is None and is_early and cause in COMING_UP
        self.obey(verdict, Act.SILENT if self.moves is False or goes_on else Act.STOP)
        if verdict.fault is None:
            assert self.reported is not None, "stopped without a reason"
            assert cause is Cause.WAITING or (cause is Cause.MISSING and is_early)
            assert self.found is cause or not self.ros
            return
        assert verdict.is_new == (cause is not self.reported)
        self.reported = cause

    def is_waiting(self, verdict, reason):
        assert (verdict.fault.cause, verdict.fault.reason, verdict.is_new) == (Cause.WAITING, reason, True)
        self.reported, self.good = Cause.WAITING, 0
        self.wait()

    def obey(self, verdict, expected):
        assert verdict.act is expected
        if verdict.act is Act.DRIVE:
            self.moves, self.command = True, verdict.command
        elif verdict.act is Act.STOP:
            assert self.moves is not False, "two stops in a row"
            self.gate.stop_given()
            self.moves, self.rest_time = False, self.braking_time(*self.command)
        assert self.gate.standing == (self.moves is False)


class RobotOnWallTime(Robot):
    @precondition(lambda self: not self.trouble)
    @rule(seconds=st.floats(0.201, 5000.0), watched=st.booleans(), cycles=silent_cycles)
    def clock_is_set_ahead(self, seconds, watched, cycles):
        self.watch()
        self.ros += round(seconds * SECOND)
        self.is_seen_to_jump(watched, Cause.CLOCK_JUMPED_AHEAD)
        self.cycles_follow_each_other(cycles, speaks=False)

    @precondition(lambda self: not self.trouble)
    @rule(seconds=st.floats(0.0, 0.199))
    def clock_slews(self, seconds):
        self.watch()
        self.ros += round(seconds * SECOND)
        verdict = self.watch()
        assert verdict is None or verdict.fault is None or verdict.fault.cause is not Cause.CLOCK_JUMPED_AHEAD


class SimulatedRobot(Robot):
    @rule()
    def clock_stops(self):
        self.clock_runs = False

    @rule()
    def clock_starts(self):
        self.clock_runs = True
        if not self.ros:
            self.true_time += 3600 * SECOND  # what came before is of unknown age
            self.ros = 1


TestOnWallTime, TestOnSimulatedTime = RobotOnWallTime.TestCase, SimulatedRobot.TestCase
TestOnWallTime.settings = TestOnSimulatedTime.settings = settings(
    max_examples=100, stateful_step_count=60, deadline=None
)
