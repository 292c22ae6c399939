"""Experiment files: one YAML describes task, expert, students and evaluation."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any

import msgspec
import yaml

from kdmarl_core.contract import KdmarlError, Swarm, load_robot_types
from kdmarl_core.contract.errors import did_you_mean
from kdmarl_core.contract.files import convert, parse_yaml, read_yaml
from kdmarl_core.distill.distill import DistillConfig
from kdmarl_core.envs.base import BatchedEnv
from kdmarl_core.envs.particle.particle import Particle, ParticleConfig
from kdmarl_core.envs.robots.coverage import Coverage, CoverageConfig
from kdmarl_core.envs.robots.navigation import Navigation, NavigationConfig
from kdmarl_core.envs.robots.passage import Passage, PassageConfig
from kdmarl_core.envs.smax.config import SmaxConfig
from kdmarl_core.envs.smax.smax import Smax
from kdmarl_core.expert.fingerprint import Facts
from kdmarl_core.expert.train import ExpertConfig, expert_facts

Count = Annotated[int, msgspec.Meta(ge=1)]
RobotTask = NavigationConfig | PassageConfig | CoverageConfig
Benchmark = ParticleConfig | SmaxConfig


class EvaluateConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How policies are measured; training never sees this seed."""

    episodes: Count = 1000
    seed: Annotated[int, msgspec.Meta(ge=0)] = 900_000_000
    envs: Count = 100


class Experiment(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything from training to evaluation."""

    task: RobotTask | Benchmark
    distill: DistillConfig
    expert: ExpertConfig = ExpertConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    seed: Annotated[int, msgspec.Meta(ge=0)] = 1

    def __post_init__(self) -> None:
        if self.evaluate.seed == self.seed:
            raise ValueError(f"evaluate.seed is {self.seed}, which training sees; give another")
        known = _types(self.task)
        for key, networks in (("distill.students", self.distill.students), ("expert.actors", self.expert.actors)):
            for name in networks:
                if name not in known:
                    raise ValueError(f"{key}: unknown robot type '{name}'; {did_you_mean(name, known)}")

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
    """The experiment's environment; ``swarm`` fixes arena, starts and goals.

    Raises:
        KdmarlError: the task cannot be built, or has no robots for a swarm file to place.
    """
    if isinstance(experiment.task, ParticleConfig):
        _refuse(swarm, experiment.task)
        return Particle(experiment.task, num_envs)
    if isinstance(experiment.task, SmaxConfig):
        _refuse(swarm, experiment.task)
        return Smax(experiment.task, num_envs)
    if isinstance(experiment.task, CoverageConfig):
        return Coverage(experiment.task, config_path.parent, num_envs, swarm)
    if isinstance(experiment.task, PassageConfig):
        return Passage(experiment.task, config_path.parent, num_envs, swarm)
    return Navigation(experiment.task, config_path.parent, num_envs, swarm)


def make_evaluation_env(
    experiment: Experiment, config_path: Path, num_envs: int, swarm: Swarm | None = None
) -> BatchedEnv:
    """Where the experiment is measured: on mpe2 itself for its tasks, otherwise as :func:`make_env`."""
    if not isinstance(experiment.task, ParticleConfig):
        return make_env(experiment, config_path, num_envs, swarm)
    _refuse(swarm, experiment.task)
    from kdmarl_core.envs.particle.official import OfficialParticle  # only measuring needs mpe2, and pygame with it

    return OfficialParticle(experiment.task, num_envs)


def task_facts(experiment: Experiment, config_path: Path, *views: str) -> Facts:
    """What a run depends on of a task that it sees through ``views``: of the robots' file, what it says of the team.

    Raises:
        KdmarlError: the file of the robot types is missing or does not fit.
    """
    task = experiment.task
    facts: dict[str, Any] = msgspec.to_builtins(task)
    facts["observations"] = {view: seen for view, seen in facts["observations"].items() if view in views}
    if not isinstance(task, Benchmark):
        types = msgspec.to_builtins(load_robot_types(config_path.parent / task.robot_types))
        # Its height and its computer's budget change nothing in this simulator.
        relevant = ("radius", "action", "sensors")
        facts["robot_types"] = {
            name: {key: types[name][key] for key in relevant} for name in task.team if name in types
        }
    return facts


def expert_origin(experiment: Experiment, config_path: Path) -> Facts:
    """What the experiment's expert depends on.

    Raises:
        KdmarlError: as in :func:`task_facts`.
    """
    seen = task_facts(experiment, config_path, *experiment.expert.views)
    return expert_facts(experiment.expert, experiment.seed, seen)


def _types(task: RobotTask | Benchmark) -> set[str]:
    """Types of robots or agents that the task knows."""
    if isinstance(task, ParticleConfig):
        return {kind.name for kind in task.build().kinds}
    if isinstance(task, SmaxConfig):
        return {name for name, _ in task.types()}
    return {name for terms in task.observations.values() for name in terms}


def _refuse(swarm: Swarm | None, task: Benchmark) -> None:
    if swarm:
        raise KdmarlError(f"{swarm.path}: places robots, and task {task.scenario} has none; leave the swarm file out")


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
