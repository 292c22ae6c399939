"""The expert of an experiment, trained by kdmarl or external, and its critics."""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console
from torch import nn

from kdmarl_core.contract.writing import writing
from kdmarl_core.distill.distill import check_features
from kdmarl_core.envs.base import BatchedEnv
from kdmarl_core.experiment.experiment import Experiment
from kdmarl_core.expert import checkpoint
from kdmarl_core.expert import critics as fitting
from kdmarl_core.expert import train as stage_1
from kdmarl_core.expert.foreign import ForeignConfig, load_foreign
from kdmarl_core.expert.log import METRICS
from kdmarl_core.expert.networks import make_critics
from kdmarl_core.expert.policies import TeamPolicy

ENOUGH = 0.5
"""Explained variance below which a warning is printed."""


def prepare(experiment: Experiment, folder: Path, resume: bool = True) -> TeamPolicy:
    """Do what is needed before students can be distilled: train the expert in ``folder``, or fit its critics there.

    Args:
        experiment: the experiment.
        folder: of the expert.
        resume: False: start from scratch.

    Returns:
        The expert, ready to act.

    Raises:
        KdmarlError: as :func:`kdmarl_core.expert.train.train`, :func:`kdmarl_core.expert.foreign.load_foreign` or
            :func:`kdmarl_core.expert.critics.fit_critics`.
    """
    how = experiment.expert
    if not isinstance(how, ForeignConfig):
        task = experiment.facts(*how.views)
        return stage_1.train(how, experiment.env, folder, experiment.seed, resume, task).eval()
    env = experiment.env(1)
    expert = load_foreign(how, env, experiment.folder)
    if not resume:
        with writing(folder / fitting.CHECKPOINT):
            (folder / fitting.CHECKPOINT).unlink(missing_ok=True)
    _critics(experiment, how, expert, env, folder)
    return expert


def untrained(experiment: Experiment, env: BatchedEnv) -> TeamPolicy:
    """The expert before any training, to count its cost; errors as :func:`prepare`."""
    if isinstance(experiment.expert, ForeignConfig):
        return load_foreign(experiment.expert, env, experiment.folder)
    return stage_1.untrained(experiment.expert, env.groups)


def load_policy(experiment: Experiment, env: BatchedEnv, folder: Path) -> TeamPolicy:
    """The expert, trained in ``folder`` or external, ready to act.

    Raises:
        KdmarlError: it is missing, was trained with other settings, is not fully trained, or does not fit.
    """
    how = experiment.expert
    if isinstance(how, ForeignConfig):
        return load_foreign(how, env, experiment.folder)
    return stage_1.load_policy(how, env, folder, experiment.seed, experiment.facts(*how.views))


def load_expert(experiment: Experiment, env: BatchedEnv, folder: Path) -> tuple[TeamPolicy, nn.ModuleDict]:
    """As :func:`load_policy`, and its critics; those of an external expert are fitted if necessary.

    If its students are not polished, an external expert has no critics.
    """
    how = experiment.expert
    if not isinstance(how, ForeignConfig):
        return stage_1.load_expert(how, env, folder, experiment.seed, experiment.facts(*how.views))
    expert = load_foreign(how, env, experiment.folder)
    return expert, _critics(experiment, how, expert, env, folder)


def seconds(folder: Path) -> float:
    """Time that training or fitting critics in ``folder`` took [s]."""
    return stage_1.seconds(folder) if (folder / METRICS).exists() else 0.0


def _critics(
    experiment: Experiment, how: ForeignConfig, expert: TeamPolicy, env: BatchedEnv, folder: Path
) -> nn.ModuleDict:
    """The critics of an external expert: its own, those in ``folder``, or new ones that are saved there."""
    check_features(experiment.distill, expert)
    if isinstance(own := getattr(expert, "critics", None), nn.ModuleDict):
        return own.eval()
    if not experiment.distill.polish.rounds:
        return nn.ModuleDict()
    path, facts = folder / fitting.CHECKPOINT, experiment.critics_origin(how)
    critics = make_critics(env, how.critics.network, expert.view)
    if path.exists():
        checkpoint.load(path, {"critics": critics}, facts, "train")
        return critics.eval()
    console = Console(soft_wrap=True, markup=False, highlight=False)
    console.print(
        f"expert {how.named}: not trained by kdmarl; fitting the critics that distill.polish needs to its returns, "
        f"{how.env_steps:,} environment steps"
    )
    critics = fitting.fit_critics(experiment.env, expert, how.critics, experiment.seed, folder)
    explained = fitting.explained_variance(experiment.env, expert, critics, how.critics, experiment.seed + 1)
    checkpoint.save(path, {"critics": critics}, None, facts, {"explained_variance": json.dumps(explained)})
    for name, share in explained.items():
        little = "; that is low, raise expert.critics.iterations or set distill.polish.rounds to 0" * (share < ENOUGH)
        console.print(f"{name}: its critic explains {share:.2f} of the variance of the expert's returns{little}")
    return critics
