"""One control cycle without any middleware: readings in, safe command out."""

from __future__ import annotations

from collections import deque
from itertools import islice

import numpy as np

from kdmarl_core.contract import KdmarlError, Readings, RobotType, history_length, mismatches, observe
from kdmarl_core.contract.kinematics import require_kinematics, with_lower_accelerations
from kdmarl_core.contract.manifest import require_sensed
from kdmarl_core.contract.sensors import SensorTerm
from kdmarl_core.runtime.policy import Policy
from kdmarl_core.runtime.safety import SafetyFilter, UnsafeCommandError
from kdmarl_core.runtime.scan_guard import ScanGuard

ROUNDING = 1e-3
"""How far a policy's output may lie outside its action space, as a share of its range: more is not rounding error."""

SENSOR_SOONEST, SENSOR_SPACING = 0.75, 1.4
"""Shortest and longest regular time between two cycles that are triggered by a sensor [periods]."""


class Controller:
    """A policy on one robot, with the state from one cycle to the next.

    Attributes: ``policy``, its ``action`` space, and ``terms`` and ``period`` [s] of its manifest; ``sensors`` of the
    robot; ``guard``, None when it is off.
    """

    def __init__(
        self, policy: Policy, robot_type: str, robot: RobotType, scan_guard: bool = False, spacing: float = 1.0
    ) -> None:
        """Put ``policy`` on a ``robot`` of type ``robot_type``, with a :class:`ScanGuard` if requested.

        ``spacing`` is the longest regular time between two cycles [periods].

        Raises:
            KdmarlError: the policy does not fit this robot (all mismatches are listed), or has no sensor for the guard.
        """
        action = require_kinematics(policy.manifest.action, str(policy.path), robot.action)
        require_sensed(policy.manifest.observation, str(policy.path))
        if found := mismatches(policy.manifest, robot_type, robot):
            raise KdmarlError(f"{policy.path}: {'; '.join(found)}; give this robot a policy of its own type")
        self.policy = policy
        self.terms = policy.manifest.observation
        self.period = policy.manifest.control_period
        self.sensors = robot.sensors
        self._history: deque[Readings] = deque(maxlen=history_length(self.terms))
        self.action = action
        self._low, self._high = action.low, action.high
        slack = ROUNDING * (self._high - self._low)
        self._lowest, self._highest = self._low - slack, self._high + slack
        # The policy's limits, which lie within the robot's.
        limits = with_lower_accelerations(action, robot.action)
        self._filter = SafetyFilter(limits, self.period)
        self._braking = robot.action.acceleration
        self.guard: ScanGuard | None = None
        if scan_guard:
            if not any(isinstance(term, SensorTerm) and term.guards for term in self.terms):
                raise KdmarlError(f"{policy.path}: observes no sensor that the scan guard can use; turn scan_guard off")
            self.guard = ScanGuard(limits, robot, self.period, spacing)
        # The policy's own output, not the filtered command: that is what it observes in training.
        self._previous_action = np.zeros(action.size, np.float32)

    def __call__(self, readings: Readings) -> np.ndarray:
        """The command for one set of readings (``previous_action`` is filled in here), (A,) float32.

        Raises:
            UnsafeCommandError: the policy's output is not finite, or outside its own action space.
            KdmarlError: the readings do not fit the policy's terms, or are not finite.
        """
        history = tuple(self._history)
        observation = observe(self.terms, readings._replace(previous_action=self._previous_action, history=history))
        if not np.isfinite(observation).all():
            raise KdmarlError("the observation is not finite; check the odometry and the goal")
        self._history.appendleft(readings)
        wanted, last = self.policy(observation), self._filter.last
        self._check_bounds(wanted)
        command = self._filter(wanted)
        if self.guard:
            command = self.guard(readings, last, command)
            self._filter.last = command.copy()
        self._previous_action = np.minimum(np.maximum(wanted, self._low), self._high)
        return command

    def _check_bounds(self, wanted: np.ndarray) -> None:
        """A policy scales its output itself, so an output outside its action space means that it is broken."""
        if (wanted < self._lowest).any() or (wanted > self._highest).any():
            raise UnsafeCommandError(
                f"the policy commands {wanted.tolist()} {self.action.units}, outside its action space "
                f"{self._low.tolist()} to {self._high.tolist()}"
            )

    def reset(self, given: bool = True) -> None:
        """The robot stops, or stands: reset the recurrent state, earlier readings and the last command.

        Args:
            given: whether the robot got all commands that were computed.
        """
        if self.guard and not given:
            self.guard.withhold()
        self.policy.reset()
        self._history.clear()
        self._filter.reset()
        self._previous_action = np.zeros_like(self._previous_action)

    def braking_time(self, *command: float) -> float:
        """Time that the robot takes to stop from the motion of a command, at its type's limits [s]."""
        return float((np.abs(command) / self._braking).max())

    def motion(self, command: tuple[float, ...]) -> tuple[float, float, float]:
        """Motion of a command: speed forward and to the left [m/s], yaw rate [rad/s]."""
        forward, left, yaw_rate = self.action.body_velocity(np.array(command)).tolist()
        return forward, left, yaw_rate

    def guards_like(self, other: Controller) -> bool:
        """Whether the robot can still stop in time, under this guard, from what the guard of ``other`` has passed."""
        return self.guard is None or other.guard is None or self.guard.covers(other.guard)

    def take_over(self, other: Controller) -> None:
        """Continue from the last command of ``other``, so that a swap of policies does not jerk the robot."""
        self._filter.last = other._filter.last.copy()
        if self.period == other.period:  # otherwise earlier readings have another spacing than in training
            self._history.extend(islice(other._history, self._history.maxlen))
        if self.guard and other.guard:
            self.guard.take_over(other.guard)
        self._previous_action = np.minimum(np.maximum(other._previous_action, self._low), self._high)
