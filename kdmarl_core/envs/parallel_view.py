"""Ours as a PettingZoo parallel environment.

Interface: PettingZoo ``utils/env.py``, ``ParallelEnv``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from pettingzoo import ParallelEnv

from kdmarl_core.contract import Continuous, KdmarlError, observation_size
from kdmarl_core.envs.base import STUDENT, BatchedEnv, Group


class ParallelView(ParallelEnv):
    """One environment of ours as a PettingZoo parallel environment.

    Agents are named by type and number. The last step of an episode gives its figures as ``infos``.

    Args:
        env: with B = 1.
        view: what agents observe.

    Raises:
        KdmarlError: ``env`` is a batch of several.
    """

    metadata = {"name": "kdmarl", "render_modes": [], "is_parallelizable": True}
    render_mode = None

    def __init__(self, env: BatchedEnv, view: str = STUDENT) -> None:
        if env.num_envs != 1:
            raise KdmarlError(f"PettingZoo: the batch has {env.num_envs} environments; make one with num_envs=1")
        self.env, self.view = env, view
        self._rng = np.random.default_rng()
        self._places = {f"{group.name}_{index}": (group, index) for group in env.groups for index in range(group.count)}
        self.possible_agents = list(self._places)
        self.agents: list[str] = []
        self._observation_spaces = {
            agent: spaces.Box(-np.inf, np.inf, (observation_size(group.observation[view]),), np.float32)
            for agent, (group, _) in self._places.items()
        }
        self._action_spaces = {agent: _space(group) for agent, (group, _) in self._places.items()}

    def observation_space(self, agent: str) -> spaces.Box:
        """Vectors of the view's length."""
        return self._observation_spaces[agent]

    def action_space(self, agent: str) -> spaces.Space[Any]:
        """Numbered actions, or commands between their limits."""
        return self._action_spaces[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, dict[str, float]]]:
        """Start an episode: drawn from ``seed``, or else the next one after the last seed given."""
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        self.env.reset(int(self._rng.integers(2**31)))
        self.agents = self.possible_agents[:]
        return self._observe(), {agent: {} for agent in self.agents}

    def step(self, actions: dict[str, Any]) -> tuple[dict[str, Any], ...]:
        """Observations, rewards, terminations, truncations and infos, by agent."""
        commands = {
            group.name: np.array([[np.reshape(actions[agent], -1) for agent in self._members(group)]])
            for group in self.env.groups
        }
        step = self.env.step(commands)
        agents = self.agents
        infos = {
            agent: {name: float(figure[0, place]) for name, figure in step.episodes.items() if len(figure)}
            for place, agent in enumerate(agents)
        }
        if step.terminated[0] or step.truncated[0]:
            self.agents = []
        return (
            self._observe(),
            {agent: float(step.reward[0, place]) for place, agent in enumerate(agents)},
            dict.fromkeys(agents, bool(step.terminated[0])),
            dict.fromkeys(agents, bool(step.truncated[0])),
            infos,
        )

    def state(self) -> np.ndarray:
        """The critics' central states of all agents, one after the other."""
        return np.concatenate([state.ravel() for state in self.env.state().values()])

    def _observe(self) -> dict[str, np.ndarray]:
        seen = self.env.observe(self.view)
        return {agent: seen[group.name][0, index] for agent, (group, index) in self._places.items()}

    def _members(self, group: Group) -> list[str]:
        return self.possible_agents[group.agents]


def _space(group: Group) -> spaces.Space[Any]:
    if isinstance(group.action, Continuous):
        return spaces.Box(group.action.low, group.action.high, dtype=np.float32)
    return spaces.Discrete(group.action.n)
