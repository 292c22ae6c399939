"""What ``kdmarl plan`` does: choose the size of each robot type's student from its budget and observations."""

from __future__ import annotations

import datetime
import tempfile
from pathlib import Path

import torch
import yaml
from rich.console import Console
from rich.table import Table
from torch import nn

from kdmarl_core import __version__
from kdmarl_core.contract import KdmarlError, Manifest, action_mask, load_robot_types, observation_size
from kdmarl_core.contract.files import convert, parse_yaml
from kdmarl_core.contract.manifest import Provenance
from kdmarl_core.contract.robots import Budget
from kdmarl_core.distill.capacity import LIMITS, Candidate, Student, amount, candidates, choose, limit_of_growth
from kdmarl_core.distill.quantization import calibrate
from kdmarl_core.envs.base import STUDENT, BatchedEnv, Group
from kdmarl_core.errors import did_you_mean
from kdmarl_core.experiment.evaluation import cpu, latency
from kdmarl_core.experiment.experiment import Experiment
from kdmarl_core.expert.networks import NetworkConfig
from kdmarl_core.expert.policies import DecentralizedPolicy
from kdmarl_core.export.int8 import write_int8_policy
from kdmarl_core.export.onnx_export import write_policy
from kdmarl_core.planning.planned import Planned
from kdmarl_core.runtime import Policy

DEFAULT_EXPERIMENT = "navigation.yaml"
"""In the folder of the file of robot types."""


def plan(
    robots: Path | None,
    experiment_path: Path | None,
    overrides: list[str],
    output: Path | None,
    budgets: list[str],
    search: bool,
    episodes: int,
) -> None:
    """Print the candidates of every type and the recommended one; with ``search``, after short distillations.

    Raises:
        KdmarlError: a file or a budget does not fit, a type has no budget, or nothing fits it; with ``search``, the
            trained expert is missing.
    """
    path = _experiment_path(robots, experiment_path)
    experiment = Experiment.load(path, [*overrides, *_other_robots(robots, path)])
    env = experiment.env(1)
    limits = _limits(env, budgets)
    planned = [_planned(experiment, env, group, limits[group.name]) for group in env.groups]
    _print_candidates(planned)
    if search:
        from kdmarl_core.planning.search import Search  # only its picture needs matplotlib

        chosen = Search(experiment, output, planned, episodes).run()
    else:
        chosen = {each.student.robot_type: choose(each.candidates) for each in planned}
        for each in planned:
            Console().print(_explanation(each, chosen[each.student.robot_type]), highlight=False, soft_wrap=True)
    _print_lines(chosen)


def _experiment_path(robots: Path | None, experiment: Path | None) -> Path:
    if experiment:
        return experiment
    if robots is None:
        raise KdmarlError("plan: give the robot types' file, e.g. config/robots.yaml, or an --experiment")
    default = robots.parent / DEFAULT_EXPERIMENT
    if robots.exists() and not default.exists():
        raise KdmarlError(
            f"{robots}: its folder has no {DEFAULT_EXPERIMENT} that says what they observe; give --experiment"
        )
    return default


def _other_robots(robots: Path | None, experiment: Path) -> list[str]:
    """The override that makes the experiment take its robot types from ``robots``."""
    if robots is None:
        return []
    load_robot_types(robots)  # its errors come before those of the experiment
    if Experiment.load(experiment).task.robots_file(experiment.parent) is None:
        raise KdmarlError(f"{experiment}: its agents are not types of {robots}; leave that out and give --budget")
    return [f"task.robot_types={yaml.safe_dump(str(robots.resolve())).splitlines()[0]}"]


def _limits(env: BatchedEnv, given: list[str]) -> dict[str, Budget]:
    """Type → its budget, from the robots' file or, with precedence, from ``--budget TYPE=BUDGET``."""
    known = env.robot_types
    limits = {group.name: known[group.name].budget if known else Budget() for group in env.groups}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise KdmarlError(f"--budget {text}: give it as TYPE=BUDGET, e.g. mini={{macs: 2000}}")
        if name not in limits:
            raise KdmarlError(f"--budget {text}: unknown robot type '{name}'; {did_you_mean(name, limits)}")
        try:
            limits[name] = convert(parse_yaml(value), Budget, f"--budget {text}")
        except yaml.YAMLError:
            raise KdmarlError(f"--budget {text}: '{value}' is not YAML; write e.g. {name}={{macs: 2000}}") from None
    return limits


def _planned(experiment: Experiment, env: BatchedEnv, group: Group, budget: Budget) -> Planned:
    network = experiment.distill.students.get(group.name, NetworkConfig(activation="relu"))
    int8 = experiment.distill.quantization == "int8"
    seen = group.observation[STUDENT]
    masked = action_mask(seen, group.action) is not None
    student = Student(group.name, observation_size(seen), group.action, network, int8, masked)
    return Planned(student, budget, candidates(student, budget, lambda network: _time(env, group, network, int8)))


def _time(env: BatchedEnv, group: Group, network: NetworkConfig, int8: bool) -> float:
    """Latency of a policy file with random weights, as it runs on the robot [s]."""
    observation = group.observation[STUDENT]
    manifest = Manifest(
        name=group.name,
        task="plan",
        robot_type=group.name,
        observation=observation,
        action=group.action,
        control_period=env.control_period,
        provenance=Provenance(
            kdmarl_version=__version__,
            commit="unknown",
            config_sha256="",
            seed=0,
            expert="none",
            created=datetime.date.today().isoformat(),
        ),
    )
    students = DecentralizedPolicy((group,), STUDENT, {group.name: network})
    actor = students.actor(group.name)
    for parameter in actor.net.parameters():
        nn.init.normal_(parameter)  # the exporter drops biases that are 0
    if int8:
        calibrate(students, {group.name: torch.randn(1, observation_size(observation))})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "timed.onnx"
        (write_int8_policy if int8 else write_policy)(actor, manifest, path)
        return latency(Policy.load(path))


def _print_candidates(planned: list[Planned]) -> None:
    timed = any(each.budget.latency is not None for each in planned)
    table = Table(title="students that fit" + (f", latency on {cpu()}" if timed else ""))
    for column in ("robot type", "inputs", "shape", "hidden layers", "MACs", "parameters", "bytes"):
        table.add_column(column, justify="left" if column in ("robot type", "shape", "hidden layers") else "right")
    if timed:
        table.add_column("latency", justify="right")
    for each in planned:
        for index, (shape, network, cost) in enumerate(each.candidates):
            first = index == 0
            table.add_row(
                each.student.robot_type if first else "", str(each.student.inputs) if first else "", shape,
                str(list(network.hidden)), f"{cost.macs:,}", f"{cost.parameters:,}", f"{cost.bytes:,}",
                *([amount(cost, "latency") if cost.latency else "-"] if timed else []),
                end_section=index == len(each.candidates) - 1,
            )  # fmt: skip
    console = Console()
    (console if console.is_terminal else Console(width=120)).print(table)


def _explanation(planned: Planned, taken: Candidate) -> str:
    budget = planned.budget
    limits = ", ".join(amount(budget, name) for name in LIMITS if getattr(budget, name) is not None)
    spent = ", ".join(amount(taken.cost, name) for name in LIMITS if getattr(budget, name) is not None)
    wider = limit_of_growth(planned.student, taken, budget)
    why = f"one unit more in each layer would take {wider}" if wider else "wider layers were measured to be slower"
    if not wider and budget.latency is None:
        why = "wider layers are not considered"
    return (
        f"{planned.student.robot_type}: \\[{', '.join(map(str, taken.network.hidden))}], {taken.shape}, takes {spent} "
        f"of at most {limits}; {why}"
    )


def _print_lines(chosen: dict[str, Candidate]) -> None:
    """The lines for the experiment file."""
    print("\ndistill:\n  students:")
    for name, candidate in chosen.items():
        network = candidate.network
        changed = {
            field: getattr(network, field)
            for field in network.__struct_fields__
            if field not in ("hidden", "activation") and getattr(network, field) != getattr(NetworkConfig(), field)
        }
        value = {"hidden": list(network.hidden), "activation": network.activation, **changed}
        print(f"    {name}: {yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=1000).strip()}")
