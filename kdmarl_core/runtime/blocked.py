"""Geometry of what a sensor's returns block, for the scan guard: each an arc around the sensor, and all behind it.

Places are those of the robot's centre, in the robot frame at the moment when the readings were taken.
"""

from __future__ import annotations

import math

import numpy as np

from kdmarl_core.contract.sensors.base import Returns

ROUNDING = 1e-6
"""Of places [m]."""

CENTRE = np.zeros((2, 1))


def avoids(seen: Returns, way: np.ndarray, need: float) -> bool:
    """Whether a way keeps clear of all that is blocked; of what is too near already, whether it leads away.

    Args:
        seen: of one message.
        way: (2, places) [m].
        need: how far the robot's centre has to stay away [m].
    """
    reach, along = _reach(seen.origin, way), _along(seen, seen.origin, way)
    # What is too far for any place, be that in the direction of the arc that is nearest to it.
    widest = np.where(seen.half < math.pi / 2, np.sin(seen.half), 2.0)
    near = seen.distance < need + along.max(0) + reach.max() * widest
    if not near.any():
        return True
    seen, along = seen.only(near), along[:, near]
    reach = reach if reach.shape[1] == 1 else reach[:, near]
    towards = _towards(seen, seen.origin, way, reach, along)
    clear = _squared(seen, reach, towards) >= need**2 - ROUNDING**2
    too_near = from_centre(seen) < need
    if too_near.any():
        leads = _leads_away(seen, way) if seen.origin.any() else towards <= ROUNDING
        clear = np.where(too_near, leads, clear)
    return bool(clear.all())


def from_centre(seen: Returns) -> np.ndarray:
    """From the robot's centre, where the readings were taken, to the nearest place of each arc, (seen,) [m]."""
    if not seen.origin.any():
        return seen.distance
    reach = _reach(seen.origin, CENTRE)
    towards = _towards(seen, seen.origin, CENTRE, reach, _along(seen, seen.origin, CENTRE))
    return np.asarray(np.sqrt(np.maximum(_squared(seen, reach, towards)[0], 0)))


def _reach(origin: np.ndarray, way: np.ndarray) -> np.ndarray:
    """From ``origin``, (2, seen or 1), to each place, (places, seen or 1) [m]."""
    return np.hypot(way[0][:, None] - origin[0], way[1][:, None] - origin[1])


def _along(seen: Returns, origin: np.ndarray, way: np.ndarray) -> np.ndarray:
    """How far that is in the direction of each arc's middle, (places, seen) [m]."""
    direction = np.stack([np.cos(seen.angle), np.sin(seen.angle)])
    along = way.T @ direction
    return along - (origin * direction).sum(0) if origin.any() else along


def _towards(seen: Returns, origin: np.ndarray, way: np.ndarray, reach: np.ndarray, along: np.ndarray) -> np.ndarray:
    """The same in the direction within each arc's opening in which it is most, (places, seen) [m]."""
    sideways = np.stack([-np.sin(seen.angle), np.cos(seen.angle)])
    across = way.T @ sideways
    across = np.abs(across - (origin * sideways).sum(0) if origin.any() else across)
    cos, sin = np.cos(seen.half), np.sin(seen.half)
    return np.where(along >= reach * cos, reach, along * cos + across * sin)


def _squared(seen: Returns, reach: np.ndarray, towards: np.ndarray) -> np.ndarray:
    """From each place to the nearest of each arc or behind it, (places, seen) [m²]."""
    blocked = np.maximum(seen.distance, towards)
    return np.asarray(reach**2 + blocked * (blocked - 2 * towards))


def _leads_away(seen: Returns, way: np.ndarray) -> np.ndarray:
    """Whether each place lies away from all of an arc and of what is behind it, (places, seen) bool.

    That is, in no direction in which the sensor looks along the arc, nor in one from the robot's centre to a place of
    the arc.
    """
    reach, along = _reach(CENTRE, way), _along(seen, CENTRE, way)
    towards = _towards(seen, CENTRE, way, reach, along)
    to_arc = seen.distance * towards + way.T @ seen.origin
    return np.asarray((towards <= ROUNDING) & (to_arc <= ROUNDING * seen.distance))
