"""What a task is to an experiment: one class, written by whoever brings the task."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from kdmarl_core.contract import KdmarlError, Swarm
from kdmarl_core.envs.base import BatchedEnv

KINDS = {
    "navigation": "kdmarl_core.envs.robots.navigation:NavigationConfig",
    "passage": "kdmarl_core.envs.robots.passage:PassageConfig",
    "coverage": "kdmarl_core.envs.robots.coverage:CoverageConfig",
    "particle": "kdmarl_core.envs.particle.task:ParticleTask",
    "smax": "kdmarl_core.envs.smax.smax:SmaxConfig",
    "pettingzoo": "kdmarl_core.envs.pettingzoo_task:PettingZooConfig",
}
"""``kind`` → the class of its keys"""


class TaskConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A task as written in an experiment file: its keys are the fields of a subclass.

    A subclass is named in the file, ``task: {kind: your_package.module:YourConfig, ...}``, and says how its
    environment is made. Those of this package have short names; see :data:`KINDS`.
    """

    evaluation_revision: ClassVar[Mapping[str, Any]] = {}
    """What the figures of an evaluation depend on beside the configuration; change it with the code that measures."""
    without_effect: ClassVar[Collection[str]] = ()
    """Keys that no result depends on, such as how many processes work at it: facts and hashes leave them out."""

    @property
    def kind(self) -> str:
        """What an experiment file calls this class."""
        where = f"{type(self).__module__}:{type(self).__qualname__}"
        return next((kind for kind, known in KINDS.items() if known == where), where)

    @property
    def data(self) -> dict[str, Any]:
        """Plain data that an experiment file would have under ``task``."""
        return {**msgspec.to_builtins(self), "kind": self.kind}

    @property
    def effective(self) -> dict[str, Any]:
        """The same without keys that no result depends on."""
        return {key: value for key, value in self.data.items() if key not in self.without_effect}

    @property
    def name(self) -> str:
        """The task's name in manifests and file names; by default the class's, ``MyConfig`` → ``my``."""
        words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(self).__name__).lower()
        return words.removesuffix("_config").removesuffix("_task")

    @property
    def measured_in(self) -> str:
        """Where policies are measured, for the title of a table."""
        return f"random episodes of {self.name}"

    def check_envs(self, most: int) -> None:
        """Refuse keys that do not fit an experiment whose stages step at most ``most`` environments at once.

        Raises:
            ValueError: they do not fit.
        """

    def types(self, folder: Path) -> Collection[str]:
        """Names of the robot types, or types of agents, that there may be; ``folder`` as for :meth:`env`."""
        raise NotImplementedError

    def env(self, folder: Path, num_envs: int, swarm: Swarm | None = None) -> BatchedEnv:
        """The environment to train in.

        Args:
            folder: that paths in the task's keys are relative to.
            num_envs: B.
            swarm: arena, starts and goals to take instead of random ones.

        Raises:
            KdmarlError: it cannot be made, or has no robots for a swarm file to place.
        """
        raise NotImplementedError

    def evaluation_env(self, folder: Path, num_envs: int, swarm: Swarm | None = None) -> BatchedEnv:
        """The environment to measure in, as :meth:`env` unless a task has a better one."""
        return self.env(folder, num_envs, swarm)

    def robots_file(self, folder: Path) -> Path | None:
        """The file of the robot types; None for tasks without robots."""
        return None

    def facts(self, folder: Path, *views: str) -> dict[str, Any]:
        """What a run that sees the task through ``views`` depends on: plain data.

        A trained policy is of the same task if and only if these are equal. By default all keys but
        ``without_effect``, and of ``observations`` those of ``views``.

        Raises:
            KdmarlError: a file that the keys name is missing or does not fit.
        """
        facts = self.effective
        if isinstance(facts.get("observations"), dict):
            facts["observations"] = {view: seen for view, seen in facts["observations"].items() if view in views}
        return facts

    def refuse_swarm(self, swarm: Swarm | None) -> None:
        """For tasks without robots.

        Raises:
            KdmarlError: there is a swarm file.
        """
        if swarm:
            raise KdmarlError(f"{swarm.path}: places robots, and task {self.name} has none; leave the swarm file out")
