"""Recurrent states of agents while they drive."""

from __future__ import annotations

import torch
from torch import Tensor

from kdmarl_core.envs.base import BatchedEnv
from kdmarl_core.expert.distributions import Distribution
from kdmarl_core.expert.policies import States, TeamPolicy


class Memory:
    """Runs a team policy step by step with a separate recurrent state for every agent of every environment.

    Policies without memory have no states, and run as usual.

    Attributes:
        starts: (B,) bool, the next step of the environment is the first of an episode (or of this memory).
        states: before the next step.
    """

    def __init__(self, policy: TeamPolicy, env: BatchedEnv) -> None:
        self.policy = policy
        self.starts = torch.ones(env.num_envs, dtype=torch.bool)
        self.states: States = {
            group.name: torch.zeros(env.num_envs, group.count, policy.memories[group.name])
            for group in env.groups
            if group.name in policy.memories
        }

    def step(self, observation: dict[str, Tensor]) -> dict[str, Distribution]:
        """Group → (B, n, O) to group → distribution over (B, n) agents; advances the states."""
        distributions, self.states = self.policy.step(observation, self.states)
        self.starts = torch.zeros_like(self.starts)
        return distributions

    def forget(self, ended: Tensor) -> None:
        """Reset the states where an episode has ``ended``, (B,) bool."""
        self.starts = ended
        self.states = {name: state.masked_fill(ended[:, None, None], 0) for name, state in self.states.items()}
