"""One environment's arena as the data of a swarm file, to try policies in other simulators."""

from __future__ import annotations

from typing import Any

import numpy as np

from kdmarl_core.envs.robots.world import RobotsEnv


def arena(env: RobotsEnv, index: int) -> dict[str, Any]:
    """World, robots and what the task adds, of environment ``index`` as it is now."""
    side = float(env.walls[index, 1, 0] * 2)
    discs = [row.tolist() for row in env.discs[index] if row[2] > 0]
    walls = [row.tolist() for row in env.walls[index, 4:] if not np.isnan(row[0])]
    robots = [
        {
            "name": f"{group.name}_{number}",
            "type": group.name,
            "pose": env.pose[index, group.agents.start + number - 1].tolist(),
        }
        for group in env.groups
        for number in range(1, group.count + 1)
    ]
    found = {"world": {"size": [side, side], "discs": discs, "walls": walls}, "robots": robots}
    return found | env.arena_keys(index, robots)
