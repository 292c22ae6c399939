"""What ``kdmarl train``, ``distill`` and ``export`` show."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from kdmarl_core.contract import Discrete, load_robot_types
from kdmarl_core.contract.robots import Budget
from kdmarl_core.distill.capacity import Cost, amount
from kdmarl_core.experiment import stages
from kdmarl_core.experiment.experiment import Experiment
from kdmarl_core.expert.critics import CHECKPOINT
from kdmarl_core.expert.foreign import ForeignConfig
from kdmarl_core.export import onnx_export
from kdmarl_core.runtime import read_manifest


def train(config: Path, overrides: list[str], output: Path | None, fresh: bool) -> None:
    """Train the expert; errors as :func:`kdmarl_core.experiment.stages.train`."""
    experiment = Experiment.load(config, overrides)
    stages.train(experiment, output, resume=not fresh)
    folder, expert = experiment.run_folder(output) / stages.EXPERT_FOLDER, experiment.expert
    line = f"expert written to {folder}"
    if isinstance(expert, ForeignConfig):
        critics = folder / CHECKPOINT
        nothing = f"expert {expert.named}: nothing to train or to fit; distill it"
        line = f"critics written to {critics}" if critics.exists() else nothing
    Console().print(line, markup=False, highlight=False, soft_wrap=True)


def distill(config: Path, overrides: list[str], output: Path | None) -> None:
    """Distil the expert; errors as :func:`kdmarl_core.experiment.stages.distill`."""
    experiment = Experiment.load(config, overrides)
    stages.distill(experiment, output)
    Console().print(f"students written to {experiment.run_folder(output) / stages.STUDENTS_FOLDER}")


def export(config: Path, overrides: list[str], output: Path | None, models: Path, int8: bool) -> None:
    """Write policy files; errors as :func:`kdmarl_core.experiment.stages.export`."""
    experiment = Experiment.load(config, overrides)
    robots = experiment.task.robots_file(experiment.folder)
    types = load_robot_types(robots) if robots else {}
    for name, (path, largest, mean) in stages.export(experiment, models, output, int8).items():
        difference = f"differs from its network by at most {largest:.1e}, {mean:.1e} on average"
        if isinstance(read_manifest(path).action, Discrete):
            difference = f"chooses another action than its network in {mean:.2%} of its steps"
        Console().print(f"{path}  {path.stat().st_size} bytes, {difference}")
        if robots:
            _print_excess(name, path, types[name].budget, robots)


def _print_excess(name: str, path: Path, budget: Budget, robots: Path) -> None:
    """Print how a policy file exceeds its type's budget in ``robots``; only ``kdmarl plan`` measures latency."""
    cost = Cost(onnx_export.macs(path), onnx_export.parameters(path), onnx_export.weight_bytes(path))
    over = [f"{amount(cost, each)}, over its budget of {amount(budget, each)}" for each in cost.exceeded(budget)]
    if over:
        Console(soft_wrap=True).print(
            f"{name}: {'; '.join(over)} in {robots}; find sizes within it with kdmarl plan",
            markup=False,
            highlight=False,
        )
