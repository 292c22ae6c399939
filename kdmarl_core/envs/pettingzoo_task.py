"""Anybody's PettingZoo parallel environment as the task of an experiment file."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any

import msgspec
from pettingzoo import ParallelEnv

from kdmarl_core.contract import KdmarlError, Swarm
from kdmarl_core.contract.spaces import Positive
from kdmarl_core.envs.dotted import load_object
from kdmarl_core.envs.pettingzoo import PettingZooEnv
from kdmarl_core.envs.task import TaskConfig
from kdmarl_core.errors import naming


class PettingZooConfig(
    TaskConfig, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="pettingzoo"
):
    """The task as written in a config file; both views see what the environment gives. See :class:`PettingZooEnv`."""

    env_name: str = msgspec.field(name="env")
    """what makes a parallel environment, such as ``mpe2.simple_adversary_v3:parallel_env``"""
    max_steps: Annotated[int, msgspec.Meta(ge=1)]
    """an episode that is not over by then is cut off"""
    arguments: dict[str, Any] = {}
    """keyword → value that it is called with"""
    agent_types: dict[str, str] | None = None
    """agent → type; None: by name and spaces"""
    control_period: Positive = 0.1
    """[s]; PettingZoo has none"""

    @property
    def name(self) -> str:
        """The last part of the module's name, such as ``simple_adversary_v3``."""
        return self.env_name.partition(":")[0].rpartition(".")[2]

    @property
    def measured_in(self) -> str:
        """The environment itself."""
        return self.env_name

    def types(self, folder: Path) -> Collection[str]:
        """Types of its agents, for which it is made once."""
        return {group.name for group in self.env(folder, 1).groups}

    def env(self, folder: Path, num_envs: int, swarm: Swarm | None = None) -> PettingZooEnv:
        """See :class:`PettingZooEnv`.

        Raises:
            KdmarlError: there is no such environment, it cannot be made, or its spaces are not supported.
        """
        self.refuse_swarm(swarm)
        make = load_object(self.env_name, "task.env", folder)
        with naming(f"task.env: {self.env_name}"):
            return PettingZooEnv(
                lambda: self._made(make), num_envs, self.max_steps, self.agent_types, self.control_period
            )

    def _made(self, make: Any) -> ParallelEnv:
        try:
            made = make(**self.arguments)
        except Exception as error:
            given = ", ".join(f"{key}={value!r}" for key, value in self.arguments.items())
            raise KdmarlError(
                f"called with ({given}) it fails ({type(error).__name__}: {error}); mend arguments"
            ) from error
        if not isinstance(made, ParallelEnv):
            raise KdmarlError(f"makes a {type(made).__name__}, not a pettingzoo.ParallelEnv; name what makes one")
        return made
