"""Train MAPPO of BenchMARL in the environment of an experiment file, and write each group's policy next to that file.

A group of agents is what kdmarl calls a robot type: agents whose names differ in the number at their end. Runs in an
environment of BenchMARL's own, without kdmarl: see README.md.

python train.py
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import sys
import tempfile
from pathlib import Path

import torch
import yaml
from benchmarl.algorithms import MappoConfig
from benchmarl.environments.pettingzoo.common import PettingZooClass
from benchmarl.experiment import Experiment, ExperimentConfig
from benchmarl.models import MlpConfig
from gymnasium.spaces import Box
from to_onnx import Commands, write
from torch import nn
from torchrl.envs.libs.pettingzoo import PettingZooWrapper
from torchrl.envs.utils import ExplorationType, set_exploration_type
from torchrl.modules import MultiAgentMLP

FOLDER = Path(__file__).parent
HELD_OUT = 1_000_000
"""Seed of the episodes in which the greedy policy is measured."""


class Brought(PettingZooClass):
    """The parallel environment of a kdmarl task of kind ``pettingzoo``, whose keys are the configuration.

    BenchMARL's own tasks look for MPE in PettingZoo, where it was before it became ``mpe2``.
    """

    def made(self):
        """One copy of it."""
        module, _, name = self.config["env"].partition(":")
        return getattr(importlib.import_module(module), name)(**self.config.get("arguments", {}))

    def get_env_fun(self, num_envs, continuous_actions, seed, device):
        """See ``TaskClass``; each copy that is made has a seed of its own."""
        seeds = itertools.count(seed)
        return lambda: PettingZooWrapper(self.made(), seed=next(seeds), categorical_actions=True, device=device)

    def supports_continuous_actions(self):
        """See ``TaskClass``."""
        env = self.made()
        return isinstance(env.action_space(env.possible_agents[0]), Box)

    def supports_discrete_actions(self):
        """See ``TaskClass``."""
        return not self.supports_continuous_actions()

    def has_render(self, env):
        """See ``TaskClass``."""
        return False

    def max_steps(self, env):
        """See ``TaskClass``."""
        return self.config["max_steps"]


def train(task: dict, frames: int, seed: int) -> Experiment:
    """Train for ``frames`` steps of single environments; ``task`` is that of the experiment file."""
    config = ExperimentConfig.get_from_yaml()
    config.max_n_frames = frames
    config.on_policy_collected_frames_per_batch = 2000
    config.on_policy_n_envs_per_worker = 40
    config.on_policy_n_minibatch_iters = 15
    config.on_policy_minibatch_size = 400
    config.gamma, config.lr = 0.95, 7e-4
    config.loggers, config.create_json, config.evaluation = [], False, False
    algorithm = MappoConfig.get_from_yaml()
    algorithm.lmbda, algorithm.entropy_coef = 0.9, 0.003
    networks = [MlpConfig([128, 128], layer_class=nn.Linear, activation_class=nn.ReLU) for _ in range(2)]
    with tempfile.TemporaryDirectory() as config.save_folder:  # for its checkpoints, which nobody needs
        experiment = Experiment(Brought("brought", task), algorithm, networks[0], seed, config, networks[1])
        experiment.run()
    return experiment


def greedy_return(experiment: Experiment, episodes: int) -> float:
    """Mean return of an agent when each takes its likeliest action, without discount."""
    env = experiment.task.get_env_fun(1, experiment.continuous_actions, HELD_OUT, "cpu")()
    returns = []
    with torch.no_grad(), set_exploration_type(ExplorationType.DETERMINISTIC):
        for _ in range(episodes):
            rollout = env.rollout(experiment.max_steps, experiment.policy)
            each = [rollout["next", group, "reward"].sum(0).flatten() for group in experiment.group_map]
            returns.append(torch.cat(each).mean())
    return float(torch.stack(returns).mean())


def write_policies(experiment: Experiment, folder: Path) -> list[Path]:
    """Write ``<group>.onnx`` for each group of agents, which share their policy's weights."""
    paths = []
    for group in experiment.group_map:
        modules = experiment.algorithm.get_policy_for_loss(group).modules()
        (shared,) = [module for module in modules if isinstance(module, MultiAgentMLP)]
        network = nn.Sequential(*shared.get_stateful_net())
        observations = experiment.observation_spec[group, "observation"].shape[-1]
        paths.append(folder / f"{group}.onnx")
        if experiment.continuous_actions:
            limits = experiment.action_spec[group, "action"].space
            write(Commands(network, limits.low[0], limits.high[0]), observations, "command", paths[-1])
        else:
            write(network, observations, "logits", paths[-1])
    return paths


def main() -> None:
    """Read what to train, train it, measure it, and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", nargs="?", type=Path, default=FOLDER / "spread.yaml", help="experiment file")
    parser.add_argument("--frames", type=int, default=300_000, help="steps of single environments")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    sys.path.insert(0, str(given.experiment.parent))  # where kdmarl, too, finds a module
    experiment = train(yaml.safe_load(given.experiment.read_text())["task"], given.frames, given.seed)
    print(f"greedy return of an agent in 100 held-out episodes: {greedy_return(experiment, 100):.2f}")
    for path in write_policies(experiment, given.experiment.parent):
        print(path)


if __name__ == "__main__":
    main()
