"""The picture of a run: arena, obstacles, goals or targets, and the path of every robot, seen from above."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Rectangle

from kdmarl_core.contract import Swarm, World
from kdmarl_core.judge.judgement import Judgement, Track, collision_starts, gaps, resample
from kdmarl_core.judge.palette import type_colours

OBSTACLE = "#9a9a9a"
EDGE = "#404040"
COLLISION = "#c00000"
COLUMNS = 5
"""Of the legend, so that names of types have room."""
Colour = tuple[float, float, float]


def draw_tracks(swarm: Swarm, judgement: Judgement, tracks: dict[str, Track], start: float, end: float) -> Figure:
    """Draw the run from ``start`` to ``end`` [s, the tracks' time]."""
    sampled = resample(tracks, start, end)
    colours = type_colours(swarm)
    figure, axes = _draw_arena(swarm, colours)
    for robot in swarm.robots:
        radius = swarm.robot_type(robot).radius
        _draw_robot(axes, robot.name, sampled[robot.name], radius, colours[robot.type])
    _draw_collisions(axes, swarm, sampled)
    _label(axes, swarm, judgement, colours)
    return figure


def _draw_arena(swarm: Swarm, colours: dict[str, Colour]) -> tuple[Figure, Axes]:
    """Walls, pillars, and goals or targets."""
    figure = Figure(figsize=(8.0, 8.6), layout="constrained")
    axes = figure.add_subplot()
    axes.set_aspect("equal")
    if swarm.world:
        _draw_world(axes, swarm.world)
    for robot in swarm.robots:
        if robot.goal is not None:
            _draw_goal(axes, robot.goal, swarm.goal_tolerance, colours[robot.type])
    for target in swarm.targets:
        _draw_goal(axes, target, swarm.goal_tolerance, to_rgb(EDGE))
    return figure, axes


def save_tracks(
    path: Path, swarm: Swarm, judgement: Judgement, tracks: dict[str, Track], start: float, end: float
) -> None:
    """Write the picture as PNG."""
    draw_tracks(swarm, judgement, tracks, start, end).savefig(path, format="png", dpi=130)


def save_start(path: Path, swarm: Swarm) -> None:
    """Write a picture of the arena with all robots at their starts, as PNG."""
    colours = type_colours(swarm)
    figure, axes = _draw_arena(swarm, colours)
    for robot in swarm.robots:
        x, y, yaw = robot.pose
        radius, colour = swarm.robot_type(robot).radius, colours[robot.type]
        axes.add_patch(Circle((x, y), radius, fc=(*colour, 0.85), ec="white", lw=1.0, zorder=6))
        tip = (x + radius * np.cos(yaw), y + radius * np.sin(yaw))
        axes.plot(*zip((x, y), tip, strict=True), color="white", lw=1.6, zorder=7)
        _draw_name(axes, robot.name, (x, y - radius - 0.06))
    axes.set_title(swarm.name, fontsize=12, fontweight="bold", color=EDGE)
    axes.set_xlabel("x [m]")
    axes.set_ylabel("y [m]")
    figure.savefig(path, format="png", dpi=130)


def _draw_world(axes: Axes, world: World) -> None:
    for x, y, radius in world.discs:
        axes.add_patch(Circle((x, y), radius, fc=OBSTACLE, ec=EDGE, lw=1, zorder=2))
    for x1, y1, x2, y2 in world.walls:
        axes.plot([x1, x2], [y1, y2], color=EDGE, lw=3, solid_capstyle="round", zorder=2)
    width, depth = world.size
    if not np.isfinite(width):  # without sides
        return
    axes.add_patch(Rectangle((-width / 2, -depth / 2), width, depth, fill=False, ec=EDGE, lw=3, zorder=1))
    margin = 0.03 * max(width, depth)
    axes.set_xlim(-width / 2 - margin, width / 2 + margin)
    axes.set_ylim(-depth / 2 - margin, depth / 2 + margin)


def _draw_goal(axes: Axes, place: tuple[float, float], tolerance: float, colour: Colour) -> None:
    axes.add_patch(Circle(place, tolerance, fc=(*colour, 0.10), ec=(*colour, 0.7), ls=(0, (3, 2)), lw=1.2, zorder=2))
    axes.plot(*place, marker="*", ms=11, mfc="white", mec=colour, mew=1.3, zorder=8)


def _draw_robot(axes: Axes, name: str, track: Track, radius: float, colour: Colour) -> None:
    """The body hollow at the start and filled at the end, with the path between fading in."""
    points = track.xy[:, None]
    fading = np.ones((len(track.xy) - 1, 4))
    fading[:, :3] = colour
    fading[:, 3] = np.linspace(0.18, 0.95, len(fading))
    segments = np.concatenate([points[:-1], points[1:]], axis=1)
    axes.add_collection(LineCollection(list(segments), colors=fading, linewidths=2.6, zorder=4))
    axes.add_patch(Circle(track.xy[0], radius, fill=False, ec=colour, lw=1.6, zorder=5))
    axes.add_patch(Circle(track.xy[-1], radius, fc=(*colour, 0.85), ec="white", lw=1.0, zorder=6))
    for index, line_colour in ((0, colour), (-1, "white")):
        heading = np.array([np.cos(track.yaw[index]), np.sin(track.yaw[index])])
        tip = track.xy[index] + radius * heading
        axes.plot(*zip(track.xy[index], tip, strict=True), color=line_colour, lw=1.6, zorder=7)
    _draw_name(axes, name, track.xy[0] - (0, radius + 0.06))


def _draw_name(axes: Axes, name: str, place: Any) -> None:
    """Centred below ``place``, x and y [m]."""
    text = axes.annotate(name, place, ha="center", va="top", fontsize=8, color=EDGE, zorder=8)
    text.set_path_effects([patheffects.withStroke(linewidth=2.5, foreground="white")])


def _draw_collisions(axes: Axes, swarm: Swarm, tracks: dict[str, Track]) -> None:
    for robot, begins in zip(swarm.robots, collision_starts(gaps(swarm, tracks)).T, strict=True):
        for place in tracks[robot.name].xy[begins]:
            axes.plot(*place, marker="X", ms=9, mfc=COLLISION, mec="white", zorder=9)


def _label(axes: Axes, swarm: Swarm, judgement: Judgement, colours: dict[str, Colour]) -> None:
    totals = judgement.totals
    reached = f"{totals.outcome} after {judgement.duration:.0f} s"
    outcome = f"{swarm.name}: {reached}, {totals.collisions} collision{'' if totals.collisions == 1 else 's'}"
    axes.set_title(outcome, fontsize=12, fontweight="bold", color=EDGE if judgement.passed else COLLISION, pad=10)
    axes.set_xlabel("x [m]")
    axes.set_ylabel("y [m]")
    axes.tick_params(color=EDGE, labelcolor=EDGE)
    axes.grid(color="#ececec", zorder=0)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
    handles = [_key(name, "o", color=colour) for name, colour in colours.items()]
    handles += [
        _key("start", "o", mfc="none"),
        _key("end", "o"),
        _key(f"{'target' if swarm.targets else 'goal'} (within {swarm.goal_tolerance:g} m)", "*", mfc="white"),
    ]
    if totals.collisions:
        handles.append(_key("collision", "X", color=COLLISION))
    axes.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.07),
        ncols=min(len(handles), COLUMNS),
        frameon=False,
        columnspacing=1.2,
        handletextpad=0.2,
    )


def _key(label: str, marker: str, color: Colour | str = EDGE, **style: Any) -> Line2D:
    """An entry of the legend."""
    return Line2D([], [], ls="none", ms=10, marker=marker, color=color, label=label, **style)
