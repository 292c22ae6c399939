"""Compiled rays of the robots simulator, over whole batches.

Rays are cast object by object: each object's angle window gives the few beams that can meet it, and those are
contiguous, so the innermost loop over beams vectorises.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from kdmarl_core.contract.sensors.base import Fan
from kdmarl_core.envs.robots.kernels import FAST, segment_point


class Beams(NamedTuple):
    """Rays of a sensor, in the robot frame."""

    angle_min: float
    """of the first, from -2π to 2π [rad]"""
    per_radian: float
    """how many"""
    cos: np.ndarray
    """(beams,) float32 of their angles"""
    sin: np.ndarray
    """(beams,) float32"""
    range: float
    """[m]; those that meet nothing nearer read this"""
    x: float
    """of the sensor [m]"""
    y: float
    """[m]"""

    @classmethod
    def of(cls, fan: Fan, farthest: float) -> Beams:
        """Those of a fan, cast as far as ``farthest`` [m]."""
        angles = fan.angles
        first, per_radian = float(math.remainder(fan.angle_min, 2 * math.pi)), 1 / fan.angle_increment
        cos, sin = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
        return cls(first, per_radian, cos, sin, float(farthest), float(fan.x), float(fan.y))


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
    beams: Beams,
    shape: tuple[float, float, float, float],
    is_wall: bool,
    low: float,
    high: float,
) -> None:
    """Cast the beams whose angles lie in [low, high] rad at one object."""
    first = max(math.ceil((low - beams.angle_min) * beams.per_radian - 1e-6), 0)
    last = min(math.floor((high - beams.angle_min) * beams.per_radian + 1e-6) + 1, ranges.shape[0])
    if is_wall:
        _cast_wall(ranges, beams.cos, beams.sin, shape[0], shape[1], shape[2], shape[3], first, last)
    else:
        _cast_disc(ranges, beams.cos, beams.sin, shape[0], shape[1], shape[2], first, last)


@njit(cache=True, fastmath=FAST)
def _cast_one(
    ranges: np.ndarray,
    beams: Beams,
    shape: tuple[float, float, float, float],
    is_wall: bool,
    low: float,
    high: float,
) -> None:
    """Cast at one object whose window is at most once around the circle, wherever it begins."""
    turn = 2 * math.pi
    around = turn * math.floor((low - beams.angle_min) / turn)
    low, high = low - around, high - around
    _cast_window(ranges, beams, shape, is_wall, low, high)
    if high > beams.angle_min + turn:
        _cast_window(ranges, beams, shape, is_wall, low - turn, high - turn)


@njit(cache=True, fastmath=FAST)
def _seen_between(x1: float, y1: float, x2: float, y2: float) -> tuple[float, float]:
    """The angles from one end of a wall to the other, counter-clockwise [rad]."""
    low = math.atan2(y1, x1)
    span = math.atan2(y2, x2) - low
    if span > math.pi:
        span -= 2 * math.pi
    elif span < -math.pi:
        span += 2 * math.pi
    return min(low, low + span), max(low, low + span)


@njit(cache=True, fastmath=FAST)
def cast(
    pose: np.ndarray,
    radius: np.ndarray,
    start: int,
    stop: int,
    discs: np.ndarray,
    walls: np.ndarray,
    beams: Beams,
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
        beams: of each robot.
        out: (B, stop − start, beams) float32 out [m].
    """
    few, farthest = out.shape[2] <= FEW, beams.range
    robots, cos, sin = pose.shape[1], beams.cos, beams.sin
    for b in range(pose.shape[0]):
        for i in range(start, stop):
            ranges = out[b, i - start]
            ranges[:] = farthest
            c, s = math.cos(pose[b, i, 2]), math.sin(pose[b, i, 2])
            px, py = pose[b, i, 0] + c * beams.x - s * beams.y, pose[b, i, 1] + s * beams.x + c * beams.y
            for k in range(robots + discs.shape[1]):
                if k < robots:
                    dx, dy, r = pose[b, k, 0] - px, pose[b, k, 1] - py, radius[k]
                else:
                    dx, dy, r = discs[b, k - robots, 0] - px, discs[b, k - robots, 1] - py, discs[b, k - robots, 2]
                distance = math.sqrt(dx * dx + dy * dy)
                if k == i or r <= 0 or distance - r > farthest:
                    continue
                if distance <= r:
                    ranges[:] = 0
                    continue
                x, y = c * dx + s * dy, c * dy - s * dx
                if few:
                    _cast_disc(ranges, cos, sin, x, y, r, 0, ranges.shape[0])
                    continue
                middle, half = math.atan2(y, x), math.asin(r / distance)
                _cast_one(ranges, beams, (x, y, r, 0.0), False, middle - half, middle + half)
            for k in range(walls.shape[1]):
                ax, ay, bx, by = walls[b, k, 0], walls[b, k, 1], walls[b, k, 2], walls[b, k, 3]
                qx, qy = segment_point(px, py, ax, ay, bx, by)
                if math.isnan(ax) or (qx - px) ** 2 + (qy - py) ** 2 > farthest * farthest:
                    continue
                x1, y1 = c * (ax - px) + s * (ay - py), c * (ay - py) - s * (ax - px)
                x2, y2 = c * (bx - px) + s * (by - py), c * (by - py) - s * (bx - px)
                if few:
                    _cast_wall(ranges, cos, sin, x1, y1, x2, y2, 0, ranges.shape[0])
                    continue
                low, high = _seen_between(x1, y1, x2, y2)
                _cast_one(ranges, beams, (x1, y1, x2, y2), True, low, high)
