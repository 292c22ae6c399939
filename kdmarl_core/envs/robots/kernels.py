"""Compiled inner loops of the robots simulator, over whole batches: motion, gaps, courses; rays are in ``rays.py``."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from kdmarl_core.contract import DiffDrive, Kinematics
from kdmarl_core.contract.kinematics import Holonomic

FAST = {"contract", "arcp", "nsz", "reassoc"}
"""Fast arithmetic that still honours NaN and infinity: NaN marks an absent wall."""


@njit(cache=True, fastmath=FAST)
def segment_point(px: float, py: float, x1: float, y1: float, x2: float, y2: float) -> tuple[float, float]:
    """The point of segment 1–2 nearest to p [m]."""
    dx, dy = x2 - x1, y2 - y1
    length2 = dx * dx + dy * dy
    along = 0.0
    if length2 > 0:
        along = min(1.0, max(0.0, ((px - x1) * dx + (py - y1) * dy) / length2))
    return x1 + along * dx, y1 + along * dy


DIFF_DRIVE, HOLONOMIC = 0, 1
"""Numbers of kinematics, for compiled code: add your own here, and its motion below."""

BASES: dict[type[Kinematics], int] = {DiffDrive: DIFF_DRIVE, Holonomic: HOLONOMIC}


@njit(cache=True)
def _motion(base: int, velocity: np.ndarray) -> tuple[float, float, float]:
    """Speed forward and to the left [m/s] and yaw rate [rad/s] of a robot whose commands' values are ``velocity``.

    As :meth:`~kdmarl_core.contract.Kinematics.body_velocity`, which a test holds equal.
    """
    if base == HOLONOMIC:
        return velocity[0], velocity[1], velocity[2]
    return velocity[0], 0.0, velocity[1]


@njit(cache=True, fastmath=FAST)
def _push(base: int, pose: np.ndarray, velocity: np.ndarray, nx: float, ny: float, depth: float) -> None:
    """Move a robot out along normal n by ``depth`` and remove the part of its speed that leads inwards."""
    pose[0] += nx * depth
    pose[1] += ny * depth
    heading = nx * math.cos(pose[2]) + ny * math.sin(pose[2])
    if base == HOLONOMIC:  # its speed along the obstacle remains
        across = ny * math.cos(pose[2]) - nx * math.sin(pose[2])
        inwards = min(0.0, heading * velocity[0] + across * velocity[1])
        velocity[0] -= inwards * heading
        velocity[1] -= inwards * across
    elif heading * velocity[0] < 0:
        velocity[0] = 0.0


@njit(cache=True, fastmath=FAST)
def _separate(
    base: np.ndarray,
    pose: np.ndarray,
    velocity: np.ndarray,
    radius: np.ndarray,
    discs: np.ndarray,
    walls: np.ndarray,
    robot_gap: np.ndarray,
    gap: np.ndarray,
) -> None:
    """Resolve overlaps in one environment and lower each robot's least gaps (N,) [m] to those before that.

    Gaps are those of ``kdmarl_core.judge.definitions.gaps``, which a test holds equal.
    """
    robots = pose.shape[0]
    for i in range(robots):
        for j in range(i + 1, robots):
            dx, dy = pose[i, 0] - pose[j, 0], pose[i, 1] - pose[j, 1]
            distance = math.sqrt(dx * dx + dy * dy) + 1e-9
            between = distance - radius[i] - radius[j]
            robot_gap[i] = min(robot_gap[i], between)
            robot_gap[j] = min(robot_gap[j], between)
            if between < 0:
                nx, ny = dx / distance, dy / distance
                _push(base[i], pose[i], velocity[i], nx, ny, -between / 2)
                _push(base[j], pose[j], velocity[j], -nx, -ny, -between / 2)
    for i in range(robots):
        for k in range(discs.shape[0]):
            if discs[k, 2] <= 0:
                continue
            dx, dy = pose[i, 0] - discs[k, 0], pose[i, 1] - discs[k, 1]
            distance = math.sqrt(dx * dx + dy * dy) + 1e-9
            between = distance - radius[i] - discs[k, 2]
            gap[i] = min(gap[i], between)
            if between < 0:
                _push(base[i], pose[i], velocity[i], dx / distance, dy / distance, -between)
        for k in range(walls.shape[0]):
            if math.isnan(walls[k, 0]):
                continue
            qx, qy = segment_point(pose[i, 0], pose[i, 1], walls[k, 0], walls[k, 1], walls[k, 2], walls[k, 3])
            dx, dy = pose[i, 0] - qx, pose[i, 1] - qy
            distance = math.sqrt(dx * dx + dy * dy) + 1e-9
            between = distance - radius[i]
            gap[i] = min(gap[i], between)
            if between < 0:
                _push(base[i], pose[i], velocity[i], dx / distance, dy / distance, -between)


@njit(cache=True)
def advance(
    base: np.ndarray,
    pose: np.ndarray,
    velocity: np.ndarray,
    commands: np.ndarray,
    delay: np.ndarray,
    gain: np.ndarray,
    acceleration: np.ndarray,
    radius: np.ndarray,
    discs: np.ndarray,
    walls: np.ndarray,
    dt: float,
    substeps: int,
    robot_gap: np.ndarray,
    gap: np.ndarray,
) -> None:
    """Move all robots of all environments by ``substeps`` of ``dt``, in place.

    Robots with fewer values in a command than A leave the last ones 0, also in ``acceleration``.

    Args:
        base: (N,) numbers of the robots' kinematics, as in ``BASES``.
        pose: (B, N, 3) x, y, yaw [m, m, rad].
        velocity: (B, N, A) in the order and the units of each robot's commands.
        commands: (3, B, N, A) this command and the two before it.
        delay: (B, N) substeps from command to motion, at most ``2 * substeps``.
        gain: (B, N, A) true speed for a commanded speed of 1.
        acceleration: (N, A) largest change a second.
        radius: (N,) [m].
        discs: (B, D, 3) x, y, radius [m]; radius 0 is no disc.
        walls: (B, W, 4) x1, y1, x2, y2 [m]; NaN is no wall.
        dt: length of a substep [s].
        substeps: how many.
        robot_gap: (B, N) out, the least gap to another robot on the way [m].
        gap: (B, N) out, the least gap to a wall or pillar on the way [m].
    """
    for b in range(pose.shape[0]):
        robot_gap[b] = 1e9
        gap[b] = 1e9
        for s in range(substeps):
            for i in range(pose.shape[1]):
                late = delay[b, i] - s
                past = 0 if late <= 0 else (1 if late <= substeps else 2)
                for axis in range(velocity.shape[2]):
                    wanted = commands[past, b, i, axis] * gain[b, i, axis]
                    step = acceleration[i, axis] * dt
                    velocity[b, i, axis] += min(step, max(-step, wanted - velocity[b, i, axis]))
                forward, left, yaw_rate = _motion(base[i], velocity[b, i])
                yaw = pose[b, i, 2] + 0.5 * yaw_rate * dt
                pose[b, i, 0] += forward * math.cos(yaw) * dt
                pose[b, i, 1] += forward * math.sin(yaw) * dt
                if left != 0:
                    pose[b, i, 0] -= left * math.sin(yaw) * dt
                    pose[b, i, 1] += left * math.cos(yaw) * dt
                yaw = pose[b, i, 2] + yaw_rate * dt
                pose[b, i, 2] = yaw - 2 * math.pi * math.floor(yaw / (2 * math.pi) + 0.5)
            _separate(base, pose[b], velocity[b], radius, discs[b], walls[b], robot_gap[b], gap[b])


@njit(cache=True)
def on_course(
    pose: np.ndarray, velocity: np.ndarray, radius: np.ndarray, gap: float, time: float, out: np.ndarray
) -> None:
    """How urgent it is for each robot that present motion brings it near another one.

    For two robots that approach each other: 1 − (gap at their closest approach) / ``gap``, from 0 to 1, times
    1 − (time until then) / ``time``; the most urgent of all others.

    Args:
        pose: (B, N, 3) [m, m, rad].
        velocity: (B, N, 2) along the world's x and y [m/s].
        radius: (N,) [m].
        gap: passing at this gap is no concern [m].
        time: nor is what happens after this time [s].
        out: (B, N) out, from 0 to 1.
    """
    for b in range(pose.shape[0]):
        out[b] = 0.0
        for i in range(pose.shape[1]):
            for j in range(i + 1, pose.shape[1]):
                dx, dy = pose[b, j, 0] - pose[b, i, 0], pose[b, j, 1] - pose[b, i, 1]
                vx, vy = velocity[b, j, 0] - velocity[b, i, 0], velocity[b, j, 1] - velocity[b, i, 1]
                closing = -(dx * vx + dy * vy)
                if closing <= 1e-9:
                    continue
                soon = closing / (vx * vx + vy * vy)
                if soon >= time:
                    continue
                near = math.hypot(dx + soon * vx, dy + soon * vy) - radius[i] - radius[j]
                urgency = min(1.0, max(0.0, 1 - near / gap)) * (1 - soon / time)
                out[b, i] = max(out[b, i], urgency)
                out[b, j] = max(out[b, j], urgency)
