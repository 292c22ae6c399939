"""What ``kdmarl layouts`` does: write held-out random arenas as swarm files, to try policies in other simulators."""

from __future__ import annotations

import os
from pathlib import Path

import yaml
from rich.console import Console

from kdmarl_core.contract import KdmarlError
from kdmarl_core.envs.robots.arena import arena
from kdmarl_core.envs.robots.world import RobotsEnv
from kdmarl_core.experiment.experiment import Experiment


def layouts(config: Path, overrides: list[str], models: Path, count: int, seed: int | None, output: Path) -> None:
    """Write ``count`` swarm files with arenas drawn as in training, with the evaluation seed unless another is given.

    Raises:
        KdmarlError: the task has no arenas, or the files cannot be written.
    """
    experiment = Experiment.load(config, overrides)
    env = experiment.env(count)
    robots = experiment.task.robots_file(experiment.folder)
    if not isinstance(env, RobotsEnv) or robots is None:
        raise KdmarlError(f"{config}: task '{experiment.name}' has no arenas; give a robot task")
    env.reset(experiment.evaluate.seed if seed is None else seed)
    try:
        output.mkdir(parents=True, exist_ok=True)
        for index in range(count):
            name = f"{experiment.name}_{index:03d}"
            data = {
                "schema_version": 1,
                "name": name,
                "task": experiment.name,
                "robot_types": os.path.relpath(robots, output),
                "policies": {
                    group.name: os.path.relpath(experiment.policy_path(models, group.name), output)
                    for group in env.groups
                },
                **arena(env, index),
            }
            (output / f"{name}.yaml").write_text(yaml.safe_dump(data, sort_keys=False, default_flow_style=None))
    except OSError as error:
        raise KdmarlError(f"{output}: cannot be written ({error.strerror}); choose another folder") from None
    Console().print(f"{count} swarm files written to {output}")
