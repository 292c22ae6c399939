"""How fast copies of PettingZoo environments are stepped by one process and by several: ``test/envs/speed.py``."""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

import numpy as np
from gymnasium import spaces
from pettingzoo import ParallelEnv

from kdmarl_core.envs.base import EXPERT
from kdmarl_core.envs.pettingzoo import PettingZooEnv
from kdmarl_core.envs.pettingzoo_copies import Recipe
from kdmarl_core.evaluate import episodes

ENVIRONMENTS = ("mpe2.simple_spread_v3:parallel_env", "speed:Slow")


class Slow(ParallelEnv):
    """Two agents; each step takes 2 ms of a processor."""

    def __init__(self) -> None:
        self.possible_agents = ["agent_0", "agent_1"]

    def observation_space(self, agent: str) -> spaces.Space:
        return spaces.Box(-1, 1, (10,), np.float32)

    def action_space(self, agent: str) -> spaces.Space:
        return spaces.Discrete(5)

    def _given(self) -> dict:
        return dict.fromkeys(self.agents, np.zeros(10, np.float32))

    def reset(self, seed: int | None = None, options: dict | None = None) -> tuple[dict, dict]:
        self.agents = list(self.possible_agents)
        return self._given(), {agent: {} for agent in self.agents}

    def step(self, actions: dict) -> tuple[dict, dict, dict, dict, dict]:
        until = time.thread_time() + 2e-3
        while time.thread_time() < until:
            pass
        no = dict.fromkeys(self.agents, False)
        return self._given(), dict.fromkeys(self.agents, 0.0), no, no, {agent: {} for agent in self.agents}


def steps_a_second(name: str, copies: int, processes: int, seconds: float) -> float:
    """Steps of copies a second, with observations, as a trainer takes them."""
    env = PettingZooEnv(Recipe(name, str(Path(__file__).parent)), copies, 25, processes=processes)
    env.reset(0)
    actions = episodes.random_commands(0)(env)
    env.step(actions)
    steps, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < seconds:
        env.step(actions)
        env.reset_ended()
        env.observe(EXPERT)
        steps += copies
    taken = time.perf_counter() - begun
    env.close()
    return steps / taken


def main() -> int:
    """Print a row for each environment: medians over rounds, in which all counts take turns."""
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("--copies", type=int, default=32)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    for name in ENVIRONMENTS:
        found: dict[int, list[float]] = {count: [] for count in options.processes}
        for _ in range(options.rounds):
            for count, speeds in found.items():
                speeds.append(steps_a_second(name, options.copies, count, options.seconds))
        print(f"| {name} | " + " | ".join(f"{statistics.median(speeds):,.0f}" for speeds in found.values()) + " |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
