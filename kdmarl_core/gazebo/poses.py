"""Where things of an SDF file are: poses, and the frames that they are relative to."""

from __future__ import annotations

import math
from collections.abc import Callable
from xml.etree.ElementTree import Element

import numpy as np

HERE = np.eye(4)


class UnknownPlaceError(Exception):
    """A pose that cannot be told from the file."""


class Frames:
    """Names of a world or a model, and where they are in it."""

    def __init__(self, parent: Element, kinds: tuple[str, ...]) -> None:
        """Take the children of ``parent`` that are of some ``kinds`` and have names."""
        self._named = {
            str(each.get("name") or each.findtext("name")): each for kind in kinds for each in parent.findall(kind)
        }
        self._open: set[str] = set()

    def place(self, child: Element, default: str = "") -> np.ndarray:
        """Where a child is, (4, 4).

        Args:
            child: with a ``<pose>``, or where its frame is.
            default: frame of a pose that names none; empty for that of the parent.

        Raises:
            UnknownPlaceError: the pose, or a frame, is not one.
        """
        pose = child.find("pose")
        if child.get("placement_frame") or child.find("placement_frame") is not None:
            raise UnknownPlaceError
        frame = frame_of(pose) or default
        return self._frame(frame) @ (HERE if pose is None else matrix(pose))

    def _frame(self, name: str) -> np.ndarray:
        if name in ("", "world", "__model__"):
            return HERE
        if name not in self._named or name in self._open:
            raise UnknownPlaceError
        self._open.add(name)
        child = self._named[name]
        found = self.place(child, child.get("attached_to", "") if child.tag == "frame" else "")
        self._open.remove(name)
        return found


def frame_of(pose: Element | None) -> str:
    """Frame that a ``<pose>`` is relative to, as newer and older versions of SDF say it; empty for the usual one."""
    return "" if pose is None else pose.get("relative_to") or pose.get("frame") or ""


def matrix(pose: Element) -> np.ndarray:
    """(4, 4) of a ``<pose>``: x, y, z [m], roll, pitch, yaw [rad, or degrees], or a quaternion x, y, z, w.

    Raises:
        UnknownPlaceError: it is not one.
    """
    try:
        values = [float(part) for part in (pose.text or "0 0 0 0 0 0").split()]
    except ValueError:
        raise UnknownPlaceError from None
    if not np.isfinite(values).all():
        raise UnknownPlaceError
    made = np.eye(4)
    if pose.get("rotation_format") == "quat_xyzw" and len(values) == 7:
        made[:3, :3] = _by_quaternion(np.array(values[3:]))
    elif len(values) == 6:
        turn: Callable[[float], float] = math.radians if pose.get("degrees") in ("1", "true") else float
        made[:3, :3] = _by_angles(*map(turn, values[3:]))
    else:
        raise UnknownPlaceError
    made[:3, 3] = values[:3]
    return made


def _by_angles(roll: float, pitch: float, yaw: float) -> np.ndarray:
    """(3, 3), turned about x, then y, then z, all of the parent."""
    found = np.eye(3)
    for axis, angle in enumerate((roll, pitch, yaw)):
        one, other = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[one, one] = turn[other, other] = math.cos(angle)
        turn[one, other], turn[other, one] = -math.sin(angle), math.sin(angle)
        found = turn @ found
    return found


def _by_quaternion(values: np.ndarray) -> np.ndarray:
    length = float(np.linalg.norm(values))
    if not length:
        raise UnknownPlaceError
    x, y, z, w = values / length
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
