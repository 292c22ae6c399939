"""Experiment files: one YAML describes task, expert, students and evaluation."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import msgspec
import yaml

from kdmarl_core.contract import KdmarlError, Swarm
from kdmarl_core.contract.files import convert, parse_yaml, read_yaml
from kdmarl_core.distill.distill import DistillConfig
from kdmarl_core.envs.base import STUDENT, BatchedEnv
from kdmarl_core.envs.kinds import read_task
from kdmarl_core.envs.task import TaskConfig
from kdmarl_core.errors import did_you_mean, with_article
from kdmarl_core.expert.fingerprint import Facts
from kdmarl_core.expert.foreign import ForeignConfig
from kdmarl_core.expert.train import ExpertConfig, expert_facts

Count = Annotated[int, msgspec.Meta(ge=1)]
Seed = Annotated[int, msgspec.Meta(ge=0)]


class EvaluateConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How policies are evaluated; training never uses this seed."""

    episodes: Count = 1000
    seed: Seed = 900_000_000
    envs: Count = 100


class _Keys(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The keys of an experiment file; those of ``task`` depend on its kind, those of ``expert`` on ``from``."""

    task: Any
    distill: DistillConfig
    expert: Any = {}
    evaluate: EvaluateConfig = EvaluateConfig()
    seed: Seed = 1


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """Everything from training to evaluation of one team.

    Attributes:
        task: the team's task.
        distill: how its students are distilled.
        expert: how their expert is trained, or where it is.
        evaluate: how they are evaluated.
        seed: of expert and students.
        path: the file; paths in the task's keys are relative to its folder, and its name is that of the run.

    Raises:
        ValueError: the parts do not fit each other.
    """

    task: TaskConfig
    distill: DistillConfig
    expert: ExpertConfig | ForeignConfig = field(default_factory=ExpertConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    seed: int = 1
    path: Path = Path("experiment.yaml")

    def __post_init__(self) -> None:
        if self.evaluate.seed == self.seed:
            raise ValueError(f"evaluate.seed is {self.seed}, which training uses; give another")
        self.task.check_envs(max(self.expert.envs, self.distill.envs, self.evaluate.envs))
        known = self.task.types(self.folder)
        own = "expert.from" if isinstance(self.expert, ForeignConfig) else "expert.actors"
        for key, types in (("distill.students", self.distill.students), (own, self.expert.own_types)):
            for name in types:
                if name not in known:
                    raise ValueError(f"{key}: unknown robot type '{name}'; {did_you_mean(name, known)}")

    @classmethod
    def load(cls, path: Path, overrides: Sequence[str] = ()) -> Experiment:
        """Read an experiment and apply ``a.b=value`` overrides, whose values are YAML.

        Raises:
            KdmarlError: the file or an override does not fit.
        """
        # Copied through JSON, so that an override does not change all keys that share a YAML anchor.
        data = json.loads(json.dumps(read_yaml(path)))
        for override in overrides:
            _override(data, override)
        source = f"{path} with {', '.join(overrides)}" if overrides else str(path)
        keys = convert(data, _Keys, source)
        parts = {name: getattr(keys, name) for name in ("distill", "evaluate", "seed")}
        foreign = isinstance(keys.expert, dict) and "from" in keys.expert
        of: type[ForeignConfig | ExpertConfig] = ForeignConfig if foreign else ExpertConfig
        expert = convert(keys.expert, of, source, at="$.expert")
        try:
            return cls(task=read_task(keys.task, source, path.parent), expert=expert, path=path, **parts)
        except ValueError as error:
            raise KdmarlError(f"{source}: $: {error}") from None

    def replace(self, **changes: Any) -> Experiment:
        """A copy with some attributes changed.

        Raises:
            KdmarlError: they do not fit.
        """
        try:
            return dataclasses.replace(self, **changes)
        except ValueError as error:
            raise KdmarlError(str(error)) from None

    @property
    def name(self) -> str:
        """The task's name, as in manifests."""
        return self.task.name

    @property
    def folder(self) -> Path:
        """Folder of the file."""
        return self.path.parent

    @property
    def data(self) -> dict[str, Any]:
        """Plain data that reads back as this experiment."""
        parts = {key: getattr(self, key) for key in ("distill", "expert", "evaluate", "seed")}
        return {"task": self.task.data, **msgspec.to_builtins(parts)}

    @property
    def sha256(self) -> str:
        """Hash of the resolved experiment but for keys of the task that no result depends on, hex."""
        data = {**self.data, "task": self.task.effective}
        return hashlib.sha256(msgspec.json.encode(data, order="sorted")).hexdigest()

    def env(self, num_envs: int, swarm: Swarm | None = None) -> BatchedEnv:
        """The training environment; ``swarm`` fixes arena, starts and goals.

        Raises:
            KdmarlError: the task cannot be built, gives something else, or has no robots that a swarm file could place.
        """
        return self._checked("env", self.task.env(self.folder, num_envs, swarm))

    def evaluation_env(self, num_envs: int, swarm: Swarm | None = None) -> BatchedEnv:
        """The environment that policies are evaluated in; see :meth:`env`."""
        own = type(self.task).evaluation_env is not TaskConfig.evaluation_env
        method = "evaluation_env" if own else "env"
        return self._checked(method, self.task.evaluation_env(self.folder, num_envs, swarm))

    def _checked(self, method: str, made: object) -> BatchedEnv:
        if not isinstance(made, BatchedEnv):
            raise KdmarlError(
                f"task.kind: {self.task.kind}: its {method} gives {with_article(type(made).__name__)}; return a "
                f"{BatchedEnv.__module__}.{BatchedEnv.__qualname__} from it"
            )
        return made

    def facts(self, *views: str) -> Facts:
        """What a run depends on, of the task as observed in ``views``.

        Raises:
            KdmarlError: a file that the task names is missing or does not fit.
        """
        return self.task.facts(self.folder, *views)

    @property
    def expert_origin(self) -> Facts:
        """What the expert depends on; errors as :meth:`facts`, or a file of the expert is missing."""
        if isinstance(self.expert, ForeignConfig):  # independent of the seed
            return {"expert": self.expert.facts(self.folder), "task": self.facts(*self.expert.views)}
        return expert_facts(self.expert, self.seed, self.facts(*self.expert.views))

    def critics_origin(self, expert: ForeignConfig) -> Facts:
        """What critics fitted to an external expert depend on; errors as :meth:`expert_origin`."""
        return {**self.expert_origin, "critics": msgspec.to_builtins(expert.critics), "seed": self.seed}

    @property
    def students_origin(self) -> Facts:
        """What students depend on in addition to their own configuration; errors as :meth:`expert_origin`."""
        if isinstance(self.expert, ForeignConfig):
            origin = self.critics_origin(self.expert) if self.distill.polish.rounds else self.expert_origin
            return {**origin, "seed": self.seed, "task": self.facts(STUDENT, self.expert.view)}
        return expert_facts(self.expert, self.seed, self.facts(STUDENT, self.expert.view))

    def run_folder(self, output: Path | None = None) -> Path:
        """Folder of a run's files: ``output``, or a default."""
        return output or Path("runs") / self.path.stem

    def policy_path(self, models: Path, robot_type: str) -> Path:
        """Path of a robot type's policy file."""
        return models / f"{self.name}_{robot_type}.onnx"


def _override(data: Any, override: str) -> None:
    path, equals, text = override.partition("=")
    if not equals or not path:
        raise KdmarlError(f"--set {override}: give it as key.key=value")
    try:
        value = parse_yaml(text)
    except yaml.YAMLError:
        raise KdmarlError(f"--set {override}: '{text}' is not a YAML value; quote it") from None
    *parents, last = path.split(".")
    node = data
    for depth, key in enumerate(parents):
        node = node.setdefault(key, {}) if isinstance(node, dict) else node
        if not isinstance(node, dict):
            raise KdmarlError(f"--set {override}: {'.'.join(parents[: depth + 1])} is a value and has no keys")
    if not isinstance(node, dict):
        raise KdmarlError(f"--set {override}: the file is not a mapping, so '{path}' cannot be set; check the file")
    node[last] = value
