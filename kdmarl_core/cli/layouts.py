"""What ``kdmarl layouts`` does: write held-out random arenas as swarm files, to try policies in other simulators."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import yaml
from rich.console import Console

from kdmarl_core.contract import KdmarlError
from kdmarl_core.envs.robots.coverage import Coverage
from kdmarl_core.envs.robots.goals import GoalsEnv
from kdmarl_core.envs.robots.passage import Passage
from kdmarl_core.experiment.experiment import load_experiment, make_env
from kdmarl_core.experiment.stages import policy_path, task_name


def layouts(config: Path, overrides: list[str], models: Path, count: int, seed: int | None, output: Path) -> None:
    """Write ``count`` swarm files drawn as in training, from the evaluation seed unless another is given.

    Raises:
        KdmarlError: the task has no arenas, or the files cannot be written.
    """
    experiment = load_experiment(config, overrides)
    env = make_env(experiment, config, count)
    if not isinstance(env, GoalsEnv | Coverage):
        raise KdmarlError(f"{config}: task '{task_name(experiment)}' has no arenas; give a robot task")
    env.reset(experiment.evaluate.seed if seed is None else seed)
    try:
        output.mkdir(parents=True, exist_ok=True)
        for index in range(count):
            name = f"{task_name(experiment)}_{index:03d}"
            data = {
                "schema_version": 1,
                "name": name,
                "task": task_name(experiment),
                "robot_types": os.path.relpath(config.parent / env.config.robot_types, output),
                "policies": {
                    group.name: os.path.relpath(policy_path(models, experiment, group.name), output)
                    for group in env.groups
                },
                "goal_tolerance": env.config.goal_tolerance,
                **_arena(env, index),
            }
            (output / f"{name}.yaml").write_text(yaml.safe_dump(data, sort_keys=False, default_flow_style=None))
    except OSError as error:
        raise KdmarlError(f"{output}: cannot be written ({error.strerror}); choose another folder") from None
    Console().print(f"{count} swarm files written to {output}")


def _arena(env: GoalsEnv | Coverage, index: int) -> dict[str, object]:
    """World, robots and targets of environment ``index`` as in a swarm file."""
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
    arena: dict[str, object] = {"world": {"size": [side, side], "discs": discs, "walls": walls}, "robots": robots}
    if isinstance(env, Coverage):
        return arena | {"targets": env.targets[index].tolist()}
    for robot, goal in zip(robots, env.goal[index].tolist(), strict=True):
        robot["goal"] = goal
    return arena | ({"landmarks": [env.gap_middle[index].tolist()]} if isinstance(env, Passage) else {})
