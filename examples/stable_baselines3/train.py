"""Train Stable-Baselines3's PPO on ``simple_spread``, one network for all agents; writes ``ppo.zip``.

pip install stable-baselines3
python train.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecEnv

from kdmarl_core.contract import observation_size
from kdmarl_core.envs.base import EXPERT
from kdmarl_core.experiment import Experiment

FOLDER = Path(__file__).parent
ENVS = 64


class EveryAgent(VecEnv):
    """Presents each agent of each environment (a team of one type) as a separate environment to the library."""

    def __init__(self, env) -> None:
        (self.group,) = env.groups
        self.env, self._return = env, np.zeros(env.num_envs * self.group.count)
        size = observation_size(self.group.observation[EXPERT])
        super().__init__(
            len(self._return), spaces.Box(-np.inf, np.inf, (size,), np.float32), spaces.Discrete(self.group.action.n)
        )

    def reset(self):
        """See ``VecEnv``."""
        self.env.reset(1)
        return self._seen()

    def step_async(self, actions) -> None:
        """See ``VecEnv``."""
        self._actions = actions

    def step_wait(self):
        """See ``VecEnv``."""
        shape = (self.env.num_envs, self.group.count, 1)
        step = self.env.step({self.group.name: self._actions.reshape(shape)})
        done = np.repeat(step.terminated | step.truncated, self.group.count)
        infos: list[dict] = [{} for _ in done]
        last = self._seen()
        for agent in np.flatnonzero(done):
            infos[agent] = {"terminal_observation": last[agent], "TimeLimit.truncated": True}
        self.env.reset_ended()
        return self._seen(), step.reward.reshape(-1), done, infos

    def _seen(self) -> np.ndarray:
        seen = self.env.observe(EXPERT)[self.group.name]
        return seen.reshape(-1, seen.shape[-1]).copy()

    def close(self) -> None:
        """See ``VecEnv``."""

    def env_is_wrapped(self, wrapper_class, indices=None):
        """See ``VecEnv``."""
        return [False] * self.num_envs

    def env_method(self, method_name, *args, indices=None, **kwargs):
        """See ``VecEnv``."""
        raise NotImplementedError

    def get_attr(self, attr_name, indices=None):
        """See ``VecEnv``."""
        return [getattr(self, attr_name, None)] * self.num_envs

    def set_attr(self, attr_name, value, indices=None) -> None:
        """See ``VecEnv``."""


def main(steps: int) -> None:
    """Train for ``steps`` steps, counted per agent."""
    # Only the task of the experiment file is used: its expert is what this script makes.
    experiment = Experiment.load(FOLDER / "spread.yaml")
    model = PPO(
        "MlpPolicy",
        EveryAgent(experiment.env(ENVS)),
        n_steps=25,
        batch_size=1200,
        n_epochs=4,
        gamma=0.95,
        gae_lambda=0.9,
        learning_rate=1e-3,
        ent_coef=0.003,
        policy_kwargs={"net_arch": [128, 128]},
        seed=1,
        device="cpu",
    )
    model.learn(steps)
    model.save(FOLDER / "ppo.zip")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_500_000)
