"""Experiment files: one YAML describes task, expert, students and evaluation."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any

import msgspec
import yaml

from kdmarl_core.contract import KdmarlError, Swarm
from kdmarl_core.contract.errors import did_you_mean
from kdmarl_core.contract.files import convert, parse_yaml, read_yaml
from kdmarl_core.distill.distill import DistillConfig
from kdmarl_core.envs.base import BatchedEnv
from kdmarl_core.envs.robots.navigation import Navigation, NavigationConfig
from kdmarl_core.envs.robots.passage import Passage, PassageConfig
from kdmarl_core.expert.train import ExpertConfig

Count = Annotated[int, msgspec.Meta(ge=1)]


class EvaluateConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How policies are measured; training never sees this seed."""

    episodes: Count = 1000
    seed: Annotated[int, msgspec.Meta(ge=0)] = 900_000_000
    envs: Count = 100


class Experiment(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything from training to evaluation."""

    task: NavigationConfig | PassageConfig
    distill: DistillConfig
    expert: ExpertConfig = ExpertConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    seed: Annotated[int, msgspec.Meta(ge=0)] = 1

    def __post_init__(self) -> None:
        known = {name for terms in self.task.observations.values() for name in terms}
        for key, networks in (("distill.students", self.distill.students), ("expert.actors", self.expert.actors)):
            for name in networks:
                if name not in known:
                    raise ValueError(f"{key}: unknown robot type '{name}'; {did_you_mean(name, known)}")

    @property
    def task_json(self) -> str:
        """The task, to tell runs of one from those of another."""
        return msgspec.json.encode(self.task, order="sorted").decode()

    @property
    def sha256(self) -> str:
        """Hash of the resolved experiment, hex."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()


def load_experiment(path: Path, overrides: list[str]) -> Experiment:
    """Read an experiment and apply ``a.b=value`` overrides, whose values are YAML.

    Raises:
        KdmarlError: the file or an override does not fit.
    """
    # Copied through JSON, so that keys which share a YAML anchor do not share an override.
    data = json.loads(json.dumps(read_yaml(path)))
    for override in overrides:
        _override(data, override)
    source = f"{path} with {', '.join(overrides)}" if overrides else str(path)
    return convert(data, Experiment, source)


def make_env(experiment: Experiment, config_path: Path, num_envs: int, swarm: Swarm | None = None) -> BatchedEnv:
    """The experiment's environment; ``swarm`` fixes arena, starts and goals."""
    if isinstance(experiment.task, PassageConfig):
        return Passage(experiment.task, config_path.parent, num_envs, swarm)
    return Navigation(experiment.task, config_path.parent, num_envs, swarm)


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
        raise KdmarlError(f"--set {override}: the file holds no mapping to set '{path}' in")
    node[last] = value
