"""Obstacles of somebody's own SDF world, as a judge needs them: the outlines of its static collisions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import Element

import numpy as np

from kdmarl_core.contract import KdmarlError, Swarm, World
from kdmarl_core.gazebo.poses import HERE, Frames, UnknownPlaceError, frame_of, matrix
from kdmarl_core.gazebo.sdf import included, is_true, read, read_world, refuse_network

LIFTED = 0.1
"""Height of a model's origin at the start from which its floor is not that of the world [m]."""
FLAT = 0.01
"""What reaches no higher than this over the floor is floor [m]."""
UPRIGHT = 1e-3
"""How far from upright an axis may be [rad]."""
DEEPEST = 10
"""Of models that include models."""


class Obstacles(NamedTuple):
    """What stands in a world."""

    world: World | None
    """an arena without sides; None where some obstacle has no outline that can be told"""
    said: str
    """where they are from, in words"""


class Outlines:
    """Collects outlines of collisions."""

    def __init__(self, top: float, spacing: float, folder: Path) -> None:
        """Begin without any.

        Args:
            top: of all robots [m]; what is higher is in no robot's way.
            spacing: of the lines that fill a box [m]: none of the robots fits between two.
            folder: of the world.
        """
        self.top, self.spacing, self.folder = top, spacing, folder
        self.discs: list[tuple[float, float, float]] = []
        self.walls: list[tuple[float, float, float, float]] = []
        self.count = 0
        self.unknown: list[str] = []
        """names of collisions without an outline"""
        self.movable = 0
        """models that can be moved"""

    def add(self, name: str, geometry: Element, place: np.ndarray) -> None:
        """Add the outline of a collision at ``place``, (4, 4)."""
        shape = next(iter(geometry), None)
        adder = {
            "plane": self._plane,
            "box": self._box,
            "cylinder": self._round,
            "capsule": self._round,
            "sphere": self._ball,
        }
        if shape is None or shape.tag == "empty":
            return
        if shape.tag == "polyline":
            known = self._polyline(geometry, place)
        else:
            known = shape.tag in adder and adder[shape.tag](shape, place)
        self.count += 1
        if not known:
            self.unknown.append(name)

    def _outside(self, low: float, high: float) -> bool:
        """Whether something between these heights [m] is floor, or above all robots."""
        return high <= FLAT or low >= self.top

    def _plane(self, shape: Element, place: np.ndarray) -> bool:
        normal = place[:3, :3] @ _numbers(shape, "normal", "0 0 1")
        return bool(normal[2] > math.cos(UPRIGHT) and place[2, 3] <= FLAT)

    def _box(self, shape: Element, place: np.ndarray) -> bool:
        half = _numbers(shape, "size", "1 1 1") / 2
        turn, (x, y, z) = place[:3, :3], place[:3, 3]
        reach = float(np.abs(turn[2]) @ half)
        if self._outside(z - reach, z + reach):
            return True
        upright = [axis for axis in range(3) if abs(turn[2, axis]) > math.cos(UPRIGHT)]
        if not upright:
            return False
        one, other = (turn[:2, axis] * half[axis] for axis in range(3) if axis not in upright)
        corners = [(x, y) + first * one + second * other for first, second in ((1, 1), (1, -1), (-1, -1), (-1, 1))]
        self._ring(corners)
        long, short = sorted((one, other), key=lambda side: -float(np.hypot(*side)))
        lines = math.ceil(2 * float(np.hypot(*short)) / self.spacing)
        for line in range(1, lines):
            middle = (x, y) + (2 * line / lines - 1) * short
            self._wall(middle - long, middle + long)
        return True

    def _round(self, shape: Element, place: np.ndarray) -> bool:
        radius, length = _number(shape, "radius"), _number(shape, "length")
        turn, (x, y, z) = place[:3, :3], place[:3, 3]
        ends = radius if shape.tag == "capsule" else radius * math.sqrt(max(0.0, 1 - turn[2, 2] ** 2))
        reach = abs(turn[2, 2]) * length / 2 + ends
        if self._outside(z - reach, z + reach):
            return True
        if abs(turn[2, 2]) < math.cos(UPRIGHT):
            return False
        self.discs.append((float(x), float(y), radius))
        return True

    def _ball(self, shape: Element, place: np.ndarray) -> bool:
        radius, (x, y, z) = _number(shape, "radius"), place[:3, 3]
        if not self._outside(z - radius, z + radius):
            away = max(0.0, z - self.top, -z)
            self.discs.append((float(x), float(y), math.sqrt(radius**2 - away**2)))
        return True

    def _polyline(self, geometry: Element, place: np.ndarray) -> bool:
        for shape in geometry.findall("polyline"):
            if place[2, 2] < math.cos(UPRIGHT):
                return False
            if not self._outside(place[2, 3], place[2, 3] + _number(shape, "height")):
                points = [[float(part) for part in (each.text or "").split()] for each in shape.findall("point")]
                self._ring([(place @ [x, y, 0.0, 1.0])[:2] for x, y in points])
        return True

    def _ring(self, corners: Sequence[np.ndarray]) -> None:
        for one, other in zip(corners, [*corners[1:], corners[0]], strict=True):
            self._wall(one, other)

    def _wall(self, one: np.ndarray, other: np.ndarray) -> None:
        self.walls.append((float(one[0]), float(one[1]), float(other[0]), float(other[1])))


def obstacles_of(swarm: Swarm) -> Obstacles:
    """What stands in the swarm's world.

    Raises:
        KdmarlError: the SDF file of its world cannot be read.
    """
    only = "arrivals and collisions of robots with each other are judged, no others"
    if swarm.world:
        return Obstacles(swarm.world, "obstacles of the swarm file")
    if swarm.gazebo is None or swarm.gazebo.sdf is None:
        return Obstacles(None, f"obstacles unknown: {only}")
    path = swarm.gazebo.sdf
    types = [swarm.robot_type(robot) for robot in swarm.robots]
    starts = [each.own_model.z if each.own_model else 0.0 for each in types]
    if max(map(abs, starts)) > LIFTED:
        return Obstacles(None, f"obstacles of {path.name} unknown, as robots start above or below the floor: {only}")
    top = max(each.height + start for each, start in zip(types, starts, strict=True))
    found = Outlines(top, min(each.radius for each in types), path.parent)
    _add_world(found, path)
    movable = f"; {found.movable} models that can be moved are not judged" if found.movable else ""
    if found.unknown:
        named = ", ".join(found.unknown[:3]) + (" and others" if len(found.unknown) > 3 else "")
        why = f"{len(found.unknown)} of {found.count} static collisions have no outline that can be told ({named})"
        return Obstacles(None, f"obstacles of {path.name} unknown, as {why}: {only}{movable}")
    world = World(size=(math.inf, math.inf), discs=found.discs, walls=found.walls)
    return Obstacles(world, f"obstacles of {path.name}, from {found.count} static collisions{movable}")


def _add_world(found: Outlines, path: Path) -> None:
    world = read_world(path)
    frames = Frames(world, ("model", "frame", "include"))
    for model in world.findall("model"):
        _add_model(found, model, _placed(frames, model), False, path, 0)
    _add_includes(found, world, frames, HERE, False, path, 0)


def _placed(frames: Frames, child: Element) -> np.ndarray | None:
    try:
        return frames.place(child)
    except UnknownPlaceError:
        return None


def _add_includes(
    found: Outlines, parent: Element, frames: Frames, origin: np.ndarray | None, static: bool, path: Path, depth: int
) -> None:
    for include in parent.findall("include"):
        file = included((include.findtext("uri") or "").strip(), path, found.folder)
        root = read(file)
        refuse_network(root, file)
        model = root.find("model")
        if depth > DEEPEST:
            raise KdmarlError(f"{file}: is included by what it includes; take the circle out")
        if model is None:
            if root.find("light") is None and root.find("actor") is None:  # such as a URDF
                found.count += 1
                found.unknown.append(include.findtext("name") or file.name)
            continue
        fixed = static or is_true(include.findtext("static"))
        place = _placed(frames, include if include.find("pose") is not None else model)
        if include.find("placement_frame") is not None or model.get("placement_frame"):
            place = None
        _add_model(found, model, _joined(origin, place), fixed, file, depth + 1, include.findtext("name"))


def _joined(origin: np.ndarray | None, place: np.ndarray | None) -> np.ndarray | None:
    return None if origin is None or place is None else origin @ place


def _add_model(
    found: Outlines,
    model: Element,
    origin: np.ndarray | None,
    static: bool,
    path: Path,
    depth: int,
    name: str | None = None,
) -> None:
    """Add a model's collisions, if it is static; ``origin`` is where it is, None if that cannot be told."""
    static = static or is_true(model.findtext("static"))
    frames = Frames(model, ("link", "model", "frame"))
    for nested in model.findall("model"):
        _add_model(found, nested, _joined(origin, _placed(frames, nested)), static, path, depth)
    _add_includes(found, model, frames, origin, static, path, depth)
    if not static:
        found.movable += bool(model.findall("link/collision"))
        return
    for link in model.findall("link"):
        at = _joined(origin, _placed(frames, link))
        for collision in link.findall("collision"):
            geometry, pose = collision.find("geometry"), collision.find("pose")
            label = f"{name or model.get('name')}/{collision.get('name')}"
            try:
                if geometry is None or at is None or frame_of(pose):
                    raise UnknownPlaceError
                found.add(label, geometry, at @ (HERE if pose is None else matrix(pose)))
            except (UnknownPlaceError, ValueError):
                found.count += 1
                found.unknown.append(label)


def _number(shape: Element, tag: str) -> float:
    found = float(shape.findtext(tag) or "nan")
    if not math.isfinite(found):
        raise ValueError(tag)
    return found


def _numbers(shape: Element, tag: str, default: str) -> np.ndarray:
    found = np.array([float(part) for part in (shape.findtext(tag) or default).split()])
    if found.shape != (3,) or not np.isfinite(found).all():
        raise ValueError(tag)
    return found
