"""Anybody's PettingZoo parallel environment as the task of an experiment file."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, ClassVar

import msgspec

from kdmarl_core.contract import Swarm
from kdmarl_core.contract.bounds import Positive
from kdmarl_core.envs.dotted import load_object
from kdmarl_core.envs.pettingzoo import PettingZooEnv
from kdmarl_core.envs.pettingzoo_copies import Recipe
from kdmarl_core.envs.pettingzoo_processes import cores
from kdmarl_core.envs.task import TaskConfig
from kdmarl_core.errors import naming

AUTO = "auto"


class PettingZooConfig(
    TaskConfig, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="pettingzoo"
):
    """The task as written in a config file; both views see what the environment gives. See :class:`PettingZooEnv`."""

    without_effect: ClassVar[Collection[str]] = ("processes",)

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
    processes: int | str = 1
    """that step the copies, this one among them; ``auto``: as many as there are cores, or copies if they are fewer"""

    def __post_init__(self) -> None:
        if self.processes != AUTO and (isinstance(self.processes, str) or self.processes < 1):
            raise ValueError(
                f"processes is {self.processes}; give how many are to step the environment, 1 or more, or {AUTO} for "
                "as many as there are cores"
            )

    @property
    def name(self) -> str:
        """The last part of the module's name, such as ``simple_adversary_v3``."""
        return self.env_name.partition(":")[0].rpartition(".")[2]

    @property
    def measured_in(self) -> str:
        """The environment itself."""
        return self.env_name

    def check_envs(self, most: int) -> None:
        """Refuse more processes than there ever are copies."""
        if isinstance(self.processes, int) and self.processes > most:
            raise ValueError(
                f"task.processes is {self.processes}, and no stage steps more than {most} copies; lower it, or raise "
                "envs in expert, distill or evaluate"
            )

    def types(self, folder: Path) -> Collection[str]:
        """Types of its agents, for which it is made once."""
        return {group.name for group in self.env(folder, 1).groups}

    def env(self, folder: Path, num_envs: int, swarm: Swarm | None = None) -> PettingZooEnv:
        """See :class:`PettingZooEnv`; fewer copies than ``processes`` have a process each.

        Raises:
            KdmarlError: there is no such environment, it cannot be made, or its spaces are not supported.
        """
        self.refuse_swarm(swarm)
        load_object(self.env_name, "task.env", folder)
        recipe = Recipe(self.env_name, str(folder.resolve()), self.arguments)
        processes = cores() if isinstance(self.processes, str) else self.processes
        with naming(f"task.env: {self.env_name}"):
            return PettingZooEnv(
                recipe, num_envs, self.max_steps, self.agent_types, self.control_period, min(processes, num_envs)
            )
