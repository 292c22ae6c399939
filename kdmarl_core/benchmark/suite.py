"""Benchmark files: which tasks, methods and seeds make a table."""

from __future__ import annotations

import fnmatch
import itertools
import json
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import msgspec

from kdmarl_core.benchmark.ledger import Bar
from kdmarl_core.contract import KdmarlError, observation_size
from kdmarl_core.contract.files import load_yaml
from kdmarl_core.distill.distill import make_students
from kdmarl_core.envs.base import STUDENT, BatchedEnv
from kdmarl_core.errors import did_you_mean, naming
from kdmarl_core.experiment import experts
from kdmarl_core.experiment.experiment import Experiment
from kdmarl_core.expert import fingerprint
from kdmarl_core.expert.fingerprint import Facts
from kdmarl_core.expert.foreign import ForeignConfig
from kdmarl_core.expert.networks import Activation, Actor, NetworkConfig
from kdmarl_core.expert.train import ExpertConfig, expert_facts

Struct = TypeVar("Struct", bound=msgspec.Struct)
Count = Annotated[int, msgspec.Meta(ge=1)]
Name = Annotated[str, msgspec.Meta(pattern="^[a-z0-9_]+$")]


class Task(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A task of a benchmark."""

    config: str
    """experiment file, relative to the benchmark file"""
    set: dict[str, Any] = {}
    """overrides by dotted key; they take precedence over those of methods"""
    seeds: tuple[int, ...] = ()
    """seeds on this task of methods that name none themselves, except the first, which has all; empty: all"""
    about: str = ""
    """description for the page"""


class Method(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A way to make a team of small policies."""

    stage: Literal["distill", "scratch", "direct"] = "distill"
    """``distill`` students; ``scratch``: MAPPO on the students' sensors with actors of the students' sizes, for as many
    environment steps as expert and distillation had together, under critics that see as much as the expert's;
    ``direct``: the same with actors of the expert's size"""
    ratio: Annotated[float, msgspec.Meta(gt=1)] | None = None
    """students are two equal layers, or one and ``memory``, of the greatest width with this many times fewer MACs than
    the expert; None: the sizes of the experiment file"""
    activation: Activation | None = None
    """of all students; None: those of the experiment file"""
    memory: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """width of all students' recurrent cells; None: those of the experiment file"""
    set: dict[str, Any] = {}
    """overrides of the experiment by dotted key"""
    tasks: tuple[Name, ...] = ()
    """the tasks that it runs on; empty: all, which the first method requires"""
    seeds: tuple[int, ...] | dict[Name, tuple[int, ...]] = ()
    """the seeds that it runs with, everywhere or by task; empty: the task's, or all, which the first method requires"""
    about: str = ""
    """description for the page"""
    bar: Bar | None = None
    """what it is required to reach on every task"""
    lead: float | None = None
    """required lead of the first method over it in retention, on the mean over tasks"""


class Suite(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A benchmark."""

    title: str
    about: str = ""
    """paragraphs for the page"""
    tasks: dict[Name, Task]
    methods: dict[Name, Method]
    """the first is the one that the others are compared with"""
    seeds: tuple[Annotated[int, msgspec.Meta(ge=0)], ...]
    episodes: Count = 256
    """held-out episodes per unit"""
    set: dict[str, Any] = {}
    """overrides of every experiment by dotted key"""

    def __post_init__(self) -> None:
        for key in ("tasks", "methods", "seeds"):
            if not getattr(self, key):
                raise ValueError(f"{key} is empty; give at least one")
        first, *_ = self.methods
        for key in ("tasks", "seeds", "lead"):
            if getattr(self.methods[first], key) not in ((), None):
                raise ValueError(f"methods.{first} has {key}, but the others are compared with it; remove the key")
        for where, changes in (
            ("set", self.set),
            *((f"tasks.{name}.set", task.set) for name, task in self.tasks.items()),
        ):
            for key in changes:
                if key in ("seed", "evaluate", "evaluate.episodes"):
                    raise ValueError(
                        f"{where} sets {key}; seeds and episodes are keys of the benchmark itself, remove it"
                    )
        for name, method in self.methods.items():
            for key in method.set:
                if not key.startswith(("distill.", "task.observations.student")):
                    raise ValueError(
                        f"methods.{name}.set has {key}, but methods share tasks, seeds, experts and episodes; remove "
                        "it, or set it for a task or for all"
                    )
            by_task = method.seeds if isinstance(method.seeds, dict) else {}
            for key, tasks in (("tasks", method.tasks), ("seeds", by_task)):
                for task in tasks:
                    if task not in self.tasks:
                        raise ValueError(f"methods.{name}.{key} names '{task}'; {did_you_mean(task, self.tasks)}")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds are {list(self.seeds)}; give each once")
        for key in ("tasks", "methods"):
            for name, part in getattr(self, key).items():
                named = part.seeds.values() if isinstance(part.seeds, dict) else [part.seeds]
                for seed in itertools.chain(*named):
                    if seed not in self.seeds:
                        raise ValueError(f"{key}.{name}.seeds names {seed}; take some of seeds, {list(self.seeds)}")

    def seeds_of(self, task: str, method: str) -> tuple[int, ...]:
        """The seeds that a method runs with on a task."""
        first, *_ = self.methods
        own = self.methods[method].seeds
        chosen = (own.get(task) if isinstance(own, dict) else own) or self.tasks[task].seeds
        return chosen if chosen and method != first else self.seeds


class Unit(NamedTuple):
    """The smallest piece of work that is saved: one method on one task with one seed."""

    task: str
    method: str
    seed: int
    experiment: Experiment
    alone: ExpertConfig | None
    """how the team is trained if it is not distilled"""

    @property
    def name(self) -> str:
        """Such as ``spread/kdmarl/1``."""
        return f"{self.task}/{self.method}/{self.seed}"

    @property
    def origin(self) -> Facts:
        """What the expert depends on."""
        return self.experiment.expert_origin

    @property
    def measured(self) -> Facts:
        """What figures depend on, apart from the policies."""
        return {**msgspec.to_builtins(self.experiment.evaluate), **self.experiment.task.evaluation_revision}

    @property
    def references(self) -> Facts:
        """What the figures of the expert and of random commands depend on."""
        return {"origin": self.origin, "evaluate": self.measured}

    @property
    def still(self) -> Facts | None:
        """What the figures of robots that stand still depend on; None without robots."""
        experiment = self.experiment
        if experiment.task.robots_file(experiment.folder) is None:
            return None
        return {"task": experiment.facts(), "evaluate": self.measured}

    @property
    def depends_on(self) -> Facts:
        """What the unit's figures depend on."""
        experiment = self.experiment
        if self.alone:
            learnt = expert_facts(self.alone, self.seed, experiment.facts(*self.alone.views))
        else:
            learnt = {**experiment.distill.facts, "sees": experiment.facts(STUDENT)}
            if isinstance(experiment.expert, ForeignConfig) and experiment.distill.polish.rounds:
                learnt["critics"] = experiment.critics_origin(experiment.expert)
        return {**self.references, "learnt": learnt}

    @property
    def env_steps(self) -> dict[str, int]:
        """Environment steps for training the expert and the small policies."""
        expert, alone = self.experiment.expert, self.alone
        own = alone.env_steps if alone else self.experiment.distill.env_steps
        return {"expert": expert.env_steps, "policies": own}


def key(facts: Facts) -> str:
    """A shortened hash of ``facts``, hex."""
    return fingerprint.sha256(facts)[:16]


def load_suite(path: Path) -> Suite:
    """Read a benchmark file.

    Raises:
        KdmarlError: it is missing or does not fit.
    """
    return load_yaml(path, Suite)


def select(everything: list[Unit], only: list[str], path: Path) -> list[Unit]:
    """The units that match a pattern of ``only``, such as ``spread/*/1``; all if there are no patterns.

    Raises:
        KdmarlError: a pattern matches nothing.
    """
    names = [unit.name for unit in everything]
    for pattern in only:
        if not fnmatch.filter(names, pattern):
            raise KdmarlError(f"--only {pattern}: matches no unit of {path}; {did_you_mean(pattern, names)}")
    return [unit for unit in everything if not only or any(fnmatch.fnmatch(unit.name, each) for each in only)]


def units(suite: Suite, path: Path) -> list[Unit]:
    """Every unit of the benchmark file at ``path``, seed by seed.

    Raises:
        KdmarlError: an experiment file does not fit.
    """
    plans = []
    envs: dict[str, BatchedEnv] = {}
    for task_name, task in suite.tasks.items():
        config = path.parent / task.config
        for method_name, method in suite.methods.items():
            if method.tasks and task_name not in method.tasks:
                continue
            changes = suite.set | method.set | task.set | {"evaluate.episodes": suite.episodes}
            with naming(f"{path}: {task_name}/{method_name}"):
                plans.append((task_name, method_name, *_plan(config, changes, method, envs)))
    return [
        Unit(task_name, method_name, seed, experiment.replace(seed=seed), alone)
        for seed in suite.seeds
        for task_name, method_name, experiment, alone in plans
        if seed in suite.seeds_of(task_name, method_name)
    ]


def _plan(
    config: Path, changes: dict[str, Any], method: Method, envs: dict[str, BatchedEnv]
) -> tuple[Experiment, ExpertConfig | None]:
    """The experiment of a method, and how its policies are trained if not distilled; ``envs`` is a cache."""
    # A date, which JSON lacks, becomes a string, and is refused as such.
    experiment = Experiment.load(config, [f"{key}={json.dumps(value, default=str)}" for key, value in changes.items()])
    task = fingerprint.encode({"folder": str(experiment.folder), **experiment.task.data})
    env = envs[task] = envs.get(task) or experiment.env(1)
    make_students(experiment.distill, env.groups)  # all types have one
    given = {key: value for key in ("activation", "memory") if (value := getattr(method, key)) is not None}
    students = {
        name: msgspec.structs.replace(network, **given) for name, network in experiment.distill.students.items()
    }
    if method.ratio or isinstance(experiment.expert, ForeignConfig):
        macs = expert_macs(experiment, env)
        students = _sized(macs, students, env, method.ratio) if method.ratio else students
    experiment = experiment.replace(distill=_with(experiment.distill, students=students))
    if method.stage == "distill":
        return experiment, None
    expert = experiment.expert
    if isinstance(expert, ForeignConfig):
        raise KdmarlError(
            f"stage is {method.stage}, which trains policies as their expert was trained, but {expert.named} was not "
            "trained by kdmarl; leave the method out"
        )
    actors = {group.name: expert.actors.get(group.name, expert.actor) for group in env.groups}
    sizes = _exploring(experiment.distill.students, actors) if method.stage == "scratch" else actors
    if any(size.memory for size in sizes.values()):
        raise KdmarlError("stage is scratch, but only distillation trains memory; set it to 0 in method or students")
    steps = expert.env_steps + experiment.distill.env_steps
    iterations = -(-steps // (expert.envs * expert.steps))
    return experiment, msgspec.structs.replace(
        expert,
        view=STUDENT,
        critic_view=expert.critics_see,
        policy="decentralized",
        actors=sizes,
        iterations=iterations,
    )


def _with(struct: Struct, **changes: Any) -> Struct:
    """A copy with some fields changed; errors as one sentence."""
    try:
        return msgspec.structs.replace(struct, **changes)
    except ValueError as error:
        raise KdmarlError(str(error)) from None


def _exploring(students: dict[str, NetworkConfig], actors: dict[str, NetworkConfig]) -> dict[str, NetworkConfig]:
    """Networks of the ``students``' sizes with the exploration noise of the expert's ``actors``."""
    return {
        name: msgspec.structs.replace(
            network, log_std=actors[name].log_std, state_dependent_std=actors[name].state_dependent_std
        )
        for name, network in students.items()
        if name in actors
    }


def expert_macs(experiment: Experiment, env: BatchedEnv) -> dict[str, int]:
    """Type → MACs of its expert.

    Raises:
        KdmarlError: they are unknown.
    """
    expert, costs = experts.untrained(experiment, env), {}
    for group in env.groups:
        macs = expert.macs(group.name)
        if macs is None:
            raise KdmarlError(
                f"a benchmark compares MACs, but those of the expert {experiment.expert.described(group.name)} are not "
                "known; measure its students with kdmarl evaluate"
            )
        costs[group.name] = macs
    return costs


def _sized(
    macs: dict[str, int], students: dict[str, NetworkConfig], env: BatchedEnv, ratio: float
) -> dict[str, NetworkConfig]:
    """The ``students`` with the greatest widths that have ``ratio`` times fewer MACs than their experts' ``macs``."""
    sizes = {}
    for group in env.groups:
        given, seen = students[group.name], observation_size(group.observation[STUDENT])
        limit = macs[group.name] / ratio
        for width in itertools.count(1):
            wider = msgspec.structs.replace(given, hidden=(width,) if given.memory else (width, width))
            if Actor(seen, group.action, wider).macs > limit:
                break
            sizes[group.name] = wider
        if group.name not in sizes:
            raise KdmarlError(f"ratio is {ratio:g}, but no student of '{group.name}' has {limit:.0f} MACs; lower it")
    return sizes
