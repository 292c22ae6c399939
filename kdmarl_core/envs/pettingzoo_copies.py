"""Copies of a PettingZoo parallel environment, as one process makes and steps them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from pettingzoo import ParallelEnv

from kdmarl_core.contract import KdmarlError
from kdmarl_core.envs.dotted import load_object
from kdmarl_core.envs.pettingzoo_spaces import Shapes, first_seen, shapes_of
from kdmarl_core.errors import with_article

Choices = Mapping[str, Any]
"""Agent → the number of its action, or float32 (A,); those of agents that are out are ignored"""


class Moment(msgspec.Struct, array_like=True):
    """What a copy gives when it begins an episode or is stepped."""

    seen: dict[str, np.ndarray]
    """agent → what it sees now, (O,) float32, an action mask at the end; agents that are out may be missing"""
    reward: dict[str, float] = {}
    over: bool = False
    """no agent is left"""
    truncated: bool = False
    """an agent ran out of time"""


class Recipe(msgspec.Struct, frozen=True):
    """What any process can make the same environment of: called, it makes one copy."""

    env_name: str
    """what makes a parallel environment, such as ``mpe2.simple_adversary_v3:parallel_env``"""
    folder: str
    """where its module is looked for first"""
    arguments: dict[str, Any] = {}
    """keyword → value that it is called with"""

    def __call__(self) -> ParallelEnv:
        """Make one copy.

        Raises:
            KdmarlError: there is no such environment, or it cannot be made.
        """
        make = load_object(self.env_name, "task.env", Path(self.folder))
        try:
            made = make(**self.arguments)
        except Exception as error:
            given = ", ".join(f"{key}={value!r}" for key, value in self.arguments.items())
            raise KdmarlError(
                f"called with ({given}) it fails ({type(error).__name__}: {error}); correct its arguments"
            ) from error
        if not isinstance(made, ParallelEnv):
            raise KdmarlError(
                f"makes {with_article(type(made).__name__)}, not a pettingzoo.ParallelEnv; name what makes one"
            )
        return made


class Copies:
    """Some of the B copies of an environment, stepped one after the other."""

    def __init__(self) -> None:
        self.made: dict[int, Any] = {}
        """number among all B → copy"""
        self.at = 0
        """the copy that was at work last: the one to name when something fails"""
        self._shapes: Shapes = {}

    def make(self, make: Callable[[], Any], numbers: Iterable[int]) -> None:
        """Make the copies of these numbers; ``make`` makes one."""
        for number in numbers:
            self.at = number
            self.made[number] = make()

    def reset(self, seeds: Mapping[int, int]) -> dict[int, Moment]:
        """Begin an episode in each copy that ``seeds`` names.

        Raises:
            KdmarlError: an agent's observation is missing, not finite, or not shaped as its space.
        """
        moments = {}
        for number, seed in seeds.items():
            self.at = number
            self._shapes = self._shapes or shapes_of(self.made[number])
            moments[number] = Moment(_flat(first_seen(self.made[number].reset(seed=seed), self._shapes)))
        return moments

    def step(self, choices: Mapping[int, Choices]) -> dict[int, Moment]:
        """Step each copy that ``choices`` names."""
        moments = {}
        for number, chosen in choices.items():
            self.at = number
            env = self.made[number]
            observation, earned, _, truncated, _ = env.step({agent: chosen[agent] for agent in env.agents})
            reward = {agent: float(value) for agent, value in earned.items()}
            moments[number] = Moment(_flat(observation), reward, not env.agents, any(truncated.values()))
        return moments

    def close(self) -> None:
        """Close each copy that can be closed; none can be stepped any more."""
        while self.made:
            self.at, env = self.made.popitem()
            if hasattr(env, "close"):
                env.close()


def _flat(observation: Mapping[str, np.ndarray | Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Agent → what it sees as one vector of our own, an action mask at its end."""
    return {
        agent: np.concatenate([seen["observation"], seen["action_mask"]], dtype=np.float32)
        if isinstance(seen, Mapping)
        else np.array(seen, np.float32)
        for agent, seen in observation.items()
    }
