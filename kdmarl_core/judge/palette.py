"""One colour-blind-safe colour per robot type (Okabe and Ito, 2008)."""

from __future__ import annotations

from kdmarl_core.contract import Swarm

_COLOURS = [(0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167), (86, 180, 233), (230, 159, 0)]


def type_colours(swarm: Swarm) -> dict[str, tuple[float, float, float]]:
    """Red, green and blue in [0, 1] for each robot type of ``swarm``, in order of first appearance."""
    types = list(dict.fromkeys(robot.type for robot in swarm.robots))
    return {
        name: tuple(value / 255 for value in _COLOURS[index % len(_COLOURS)])  # type: ignore[misc]
        for index, name in enumerate(types)
    }
