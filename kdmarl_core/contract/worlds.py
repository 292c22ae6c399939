"""Worlds of a swarm: an arena with walls and pillars, or somebody's own world of Gazebo Sim."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import msgspec

from kdmarl_core.contract.bounds import Number, Positive


class World(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A rectangular arena around the origin, walled in, with obstacles."""

    size: tuple[Positive, Positive]
    """along x and y [m]"""
    discs: list[tuple[Number, Number, Positive]] = []
    """x, y, radius of pillars [m]"""
    walls: list[tuple[Number, Number, Number, Number]] = []
    """x1, y1, x2, y2 of wall segments inside the arena [m]"""


class WorldFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A world as written: an arena by its size, or somebody's own world of Gazebo Sim by ``sdf`` or ``running``."""

    size: tuple[Positive, Positive] | None = None
    discs: list[tuple[Number, Number, Positive]] = []
    walls: list[tuple[Number, Number, Number, Number]] = []
    sdf: str | None = None
    """file of a world, relative to this file"""
    running: str | None = None
    """name of the world of a Gazebo that already runs"""

    def __post_init__(self) -> None:
        given = [name for name in ("size", "sdf", "running") if getattr(self, name)]
        if len(given) != 1:
            raise ValueError(
                f"has {' and '.join(given) or 'none of size, sdf and running'}; give one of them: size for an arena, "
                "sdf for the file of a Gazebo world, running for the name of a world that Gazebo runs already"
            )
        if self.size is None and (self.discs or self.walls):
            raise ValueError(f"has discs or walls and {given[0]}; put them into that world, or give a size instead")

    @property
    def arena(self) -> World | None:
        """The arena; None where the world is Gazebo's own."""
        return World(size=self.size, discs=self.discs, walls=self.walls) if self.size else None


class GazeboWorld(NamedTuple):
    """Somebody's own world of Gazebo Sim; one of both is None."""

    sdf: Path | None
    """its file"""
    running: str | None
    """its name, where Gazebo already runs"""


def world_clearance(world: World, x: float, y: float) -> float:
    """Distance from a point to the nearest wall or pillar [m]; negative inside a pillar or outside the arena."""
    width, depth = world.size
    nearest = min(width / 2 - abs(x), depth / 2 - abs(y))
    for centre_x, centre_y, radius in world.discs:
        nearest = min(nearest, math.hypot(x - centre_x, y - centre_y) - radius)
    for x1, y1, x2, y2 in world.walls:
        nearest = min(nearest, _segment_distance(x, y, x1, y1, x2, y2))
    return nearest


def _segment_distance(x: float, y: float, x1: float, y1: float, x2: float, y2: float) -> float:
    length = (x2 - x1) ** 2 + (y2 - y1) ** 2
    along = 0.0 if length == 0 else max(0.0, min(1.0, ((x - x1) * (x2 - x1) + (y - y1) * (y2 - y1)) / length))
    return math.hypot(x - x1 - along * (x2 - x1), y - y1 - along * (y2 - y1))
