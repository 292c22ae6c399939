"""Run policies for whole episodes and collect each episode's figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

import numpy as np

from kdmarl_core.contract import Continuous, Kinematics, action_mask
from kdmarl_core.contract.spaces import Discrete
from kdmarl_core.envs.base import STUDENT, BatchedEnv, any_of
from kdmarl_core.runtime import Policy

Act = Callable[[BatchedEnv], dict[str, np.ndarray]]
"""Commands of every group, (B, n, A), for an environment's current state."""


@runtime_checkable
class Remembers(Protocol):
    """An :data:`Act` with memory, which is reset where new episodes begin."""

    def forget(self, ended: np.ndarray) -> None:
        """Reset recurrent states in the environments that have ``ended``, (B,) bool."""


def run(env: BatchedEnv, act: Act, episodes: int, seed: int) -> dict[str, np.ndarray]:
    """Play at least ``episodes`` whole episodes; every environment plays the same number.

    Returns:
        Figure → (episodes, N), the first ``episodes`` episodes: the first of each environment, then the second of
        each, and so on, independent of their lengths.
    """
    env.reset(seed)
    _forget(act, np.ones(env.num_envs, bool))
    rounds = -(-episodes // env.num_envs)
    figures: list[dict[str, np.ndarray]] = []
    places: list[np.ndarray] = []
    finished = np.zeros(env.num_envs, int)
    while finished.min() < rounds:
        step = env.step(act(env))
        ended = step.terminated | step.truncated
        if ended.any():
            figures.append(step.episodes)
            places.append((finished * env.num_envs + np.arange(env.num_envs))[ended])
            finished += ended
            env.reset_ended()
            _forget(act, ended)
    first = np.argsort(np.concatenate(places))[:episodes]
    return {name: np.concatenate([part[name] for part in figures])[first] for name in figures[0]}


def _forget(act: Act, ended: np.ndarray) -> None:
    if isinstance(act, Remembers):
        act.forget(ended)


class PolicyFiles:
    """Every robot is driven by its type's policy file, one robot at a time as on the robot itself.

    One loaded file serves all robots of its type; each robot has its own recurrent state.
    """

    def __init__(self, policies: Mapping[str, Policy], view: str = STUDENT) -> None:
        self._policies, self._view = policies, view
        self._states: dict[tuple[str, int, int], list[np.ndarray]] = {}  # by type, environment and index in the type

    def __call__(self, env: BatchedEnv) -> dict[str, np.ndarray]:
        """Commands of every group, (B, n, A)."""
        commands = {}
        for name, rows in env.observe(self._view).items():
            robots = np.ndindex(rows.shape[:-1])
            commands[name] = np.array([self._drive(name, robot, rows[robot]) for robot in robots])
            commands[name] = commands[name].reshape(*rows.shape[:-1], -1)
        return commands

    def _drive(self, name: str, robot: tuple[int, int], seen: np.ndarray) -> np.ndarray:
        """One robot's command, (A,)."""
        policy = self._policies[name]
        if not policy.manifest.recurrent:
            return policy(seen)
        key = (name, *robot)
        policy.reset()
        if key in self._states:
            policy.state = self._states[key]
        command = policy(seen)
        self._states[key] = policy.state
        return command

    def forget(self, ended: np.ndarray) -> None:
        """Reset recurrent states in the environments that have ``ended``, (B,) bool."""
        self._states = {robot: state for robot, state in self._states.items() if not ended[robot[1]]}


def random_commands(seed: int) -> Act:
    """Uniformly random commands, among the available actions: the zero of retention."""
    rng = np.random.default_rng(seed)

    def act(env: BatchedEnv) -> dict[str, np.ndarray]:
        commands: dict[str, np.ndarray] = {}
        masks = {group.name: action_mask(group.observation[STUDENT], group.action) for group in env.groups}
        seen = env.observe(STUDENT) if any(masks.values()) else {}
        for group in env.groups:
            shape = (env.num_envs, group.count)
            if isinstance(group.action, Continuous):
                commands[group.name] = rng.uniform(group.action.low, group.action.high, (*shape, group.action.size))
            elif mask := masks[group.name]:
                commands[group.name] = any_of(seen[group.name][..., mask] > 0.5, rng)[..., None]
            elif isinstance(group.action, Discrete):
                commands[group.name] = rng.integers(0, group.action.n, (*shape, 1))
        return commands

    return act


def stand_still(env: BatchedEnv) -> dict[str, np.ndarray]:
    """Zero commands, or the nearest within the limits: an :data:`Act` for robot tasks only."""
    commands = {}
    for group in env.groups:
        if not isinstance(group.action, Kinematics):
            raise TypeError(f"'{group.name}' is not a robot")
        zero = np.zeros((env.num_envs, group.count, group.action.size))
        commands[group.name] = np.clip(zero, group.action.low, group.action.high)
    return commands
