"""Compiled rays of the robots simulator, over whole batches.

Rays are cast object by object: each object's angle window gives the few beams that can meet it, and those are
contiguous, so the innermost loop over beams vectorises.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from kdmarl_core.envs.robots.kernels import FAST, segment_point

FEW = 64
"""Beams up to which trying them all is faster than finding out which can meet an object."""


@njit(cache=True, fastmath=FAST)
def _cast_disc(
    ranges: np.ndarray, cos: np.ndarray, sin: np.ndarray, x: float, y: float, radius: float, first: int, last: int
) -> None:
    outside = np.float32(x * x + y * y - radius * radius)
    x32, y32 = np.float32(x), np.float32(y)
    for i in range(first, last):
        along = x32 * cos[i] + y32 * sin[i]
        root = along * along - outside
        hit = along - np.sqrt(max(root, np.float32(0)))
        ranges[i] = hit if (root >= 0) & (along > 0) & (hit < ranges[i]) else ranges[i]


@njit(cache=True, fastmath=FAST)
def _cast_wall(
    ranges: np.ndarray,
    cos: np.ndarray,
    sin: np.ndarray,
    x1: float,
    y1: float,
    x2: float,
    y2: float,
    first: int,
    last: int,
) -> None:
    dx, dy = np.float32(x2 - x1), np.float32(y2 - y1)
    cross = np.float32(x1 * (y2 - y1) - y1 * (x2 - x1))
    x32, y32 = np.float32(x1), np.float32(y1)
    for i in range(first, last):
        across = cos[i] * dy - sin[i] * dx
        inverse = np.float32(1) / (across if across != 0 else np.float32(1e-20))
        hit = cross * inverse
        share = (x32 * sin[i] - y32 * cos[i]) * inverse
        on_wall = (share >= np.float32(-1e-5)) & (share <= np.float32(1.00001)) & (hit >= 0)
        ranges[i] = hit if on_wall & (hit < ranges[i]) else ranges[i]


@njit(cache=True, fastmath=FAST)
def _cast_window(
    ranges: np.ndarray,
    cos: np.ndarray,
    sin: np.ndarray,
    angle_min: float,
    per_radian: float,
    shape: tuple[float, float, float, float],
    is_wall: bool,
    low: float,
    high: float,
) -> None:
    """Cast the beams whose angles lie in [low, high] rad at one object."""
    first = max(math.ceil((low - angle_min) * per_radian - 1e-6), 0)
    last = min(math.floor((high - angle_min) * per_radian + 1e-6) + 1, ranges.shape[0])
    if is_wall:
        _cast_wall(ranges, cos, sin, shape[0], shape[1], shape[2], shape[3], first, last)
    else:
        _cast_disc(ranges, cos, sin, shape[0], shape[1], shape[2], first, last)


@njit(cache=True, fastmath=FAST)
def _cast_one(
    ranges: np.ndarray,
    cos: np.ndarray,
    sin: np.ndarray,
    angle_min: float,
    per_radian: float,
    shape: tuple[float, float, float, float],
    is_wall: bool,
    low: float,
    high: float,
) -> None:
    """Cast at one object whose window may reach once around the circle either way."""
    turn = 2 * math.pi
    _cast_window(ranges, cos, sin, angle_min, per_radian, shape, is_wall, low, high)
    if low < angle_min:
        _cast_window(ranges, cos, sin, angle_min, per_radian, shape, is_wall, low + turn, high + turn)
    if high > angle_min + turn:
        _cast_window(ranges, cos, sin, angle_min, per_radian, shape, is_wall, low - turn, high - turn)


@njit(cache=True, fastmath=FAST)
def cast(
    pose: np.ndarray,
    radius: np.ndarray,
    start: int,
    stop: int,
    discs: np.ndarray,
    walls: np.ndarray,
    angle_min: float,
    increment: float,
    cos: np.ndarray,
    sin: np.ndarray,
    max_range: float,
    out: np.ndarray,
) -> None:
    """Distances that the robots ``start`` to ``stop`` of every environment see along their beams.

    Args:
        pose: (B, N, 3) [m, m, rad].
        radius: (N,) [m].
        start: first robot that looks.
        stop: one past the last.
        discs: (B, D, 3) [m], radius 0 is no disc.
        walls: (B, W, 4) [m], NaN is no wall.
        angle_min: angle of the first beam in the robot frame [rad].
        increment: angle from beam to beam, positive [rad].
        cos: (beams,) float32 of the beam angles.
        sin: (beams,) float32 of the beam angles.
        max_range: [m]; beams that meet nothing nearer read this.
        out: (B, stop − start, beams) float32 out [m].
    """
    per_radian = 1 / increment
    few = out.shape[2] <= FEW
    for b in range(pose.shape[0]):
        for i in range(start, stop):
            ranges = out[b, i - start]
            ranges[:] = max_range
            px, py, yaw = pose[b, i, 0], pose[b, i, 1], pose[b, i, 2]
            c, s = math.cos(yaw), math.sin(yaw)
            for k in range(pose.shape[1] + discs.shape[1]):
                if k < pose.shape[1]:
                    if k == i:
                        continue
                    dx, dy, r = pose[b, k, 0] - px, pose[b, k, 1] - py, radius[k]
                else:
                    j = k - pose.shape[1]
                    dx, dy, r = discs[b, j, 0] - px, discs[b, j, 1] - py, discs[b, j, 2]
                    if r <= 0:
                        continue
                distance = math.sqrt(dx * dx + dy * dy)
                if distance - r > max_range:
                    continue
                if distance <= r:
                    ranges[:] = 0
                    continue
                x, y = c * dx + s * dy, c * dy - s * dx
                if few:
                    _cast_disc(ranges, cos, sin, x, y, r, 0, ranges.shape[0])
                    continue
                middle, half = math.atan2(y, x), math.asin(r / distance)
                _cast_one(ranges, cos, sin, angle_min, per_radian, (x, y, r, 0.0), False, middle - half, middle + half)
            for k in range(walls.shape[1]):
                if math.isnan(walls[b, k, 0]):
                    continue
                qx, qy = segment_point(px, py, walls[b, k, 0], walls[b, k, 1], walls[b, k, 2], walls[b, k, 3])
                if (qx - px) ** 2 + (qy - py) ** 2 > max_range * max_range:
                    continue
                dx, dy = walls[b, k, 0] - px, walls[b, k, 1] - py
                x1, y1 = c * dx + s * dy, c * dy - s * dx
                dx, dy = walls[b, k, 2] - px, walls[b, k, 3] - py
                x2, y2 = c * dx + s * dy, c * dy - s * dx
                if few:
                    _cast_wall(ranges, cos, sin, x1, y1, x2, y2, 0, ranges.shape[0])
                    continue
                low = math.atan2(y1, x1)
                span = math.atan2(y2, x2) - low
                if span > math.pi:
                    span -= 2 * math.pi
                elif span < -math.pi:
                    span += 2 * math.pi
                if span < 0:
                    low, span = low + span, -span
                _cast_one(ranges, cos, sin, angle_min, per_radian, (x1, y1, x2, y2), True, low, low + span)
