"""An experiment's stages as functions: train, distil, export; see also :mod:`kdmarl_core.experiment.evaluation`."""

from __future__ import annotations

import copy
import datetime
from pathlib import Path
from typing import Any

import msgspec
import yaml
from torch import nn

from kdmarl_core import __version__
from kdmarl_core.contract import KdmarlError, Manifest
from kdmarl_core.contract.manifest import Provenance
from kdmarl_core.contract.writing import replacing
from kdmarl_core.distill import distill as stage_2
from kdmarl_core.envs.base import STUDENT, BatchedEnv
from kdmarl_core.experiment import experts
from kdmarl_core.experiment.experiment import Experiment
from kdmarl_core.experiment.provenance import commit
from kdmarl_core.expert import fingerprint, foreign
from kdmarl_core.expert.policies import DecentralizedPolicy, TeamPolicy
from kdmarl_core.export.policies import Written, quantize, write_policies

EXPERT_FOLDER, STUDENTS_FOLDER = "expert", "students"
"""In the folder of a run."""


def train(experiment: Experiment, output: Path | None = None, resume: bool = True) -> TeamPolicy:
    """Train the expert in ``<run>/expert``, or resume from the checkpoint there.

    For an external expert, critics are fitted there instead, if its students are to be polished and it has none.

    Args:
        experiment: the experiment.
        output: folder of the run; None: ``runs/<name of the experiment's file>``.
        resume: False: start from scratch.

    Returns:
        The expert, ready to act.

    Raises:
        KdmarlError: as :func:`kdmarl_core.experiment.experts.prepare`.
    """
    folder = experiment.run_folder(output) / EXPERT_FOLDER
    expert = experts.prepare(experiment, folder, resume)
    with replacing(folder / "config.yaml") as scratch:
        scratch.write_text(yaml.safe_dump(experiment.data, sort_keys=False))
    return expert


def distill(
    experiment: Experiment,
    output: Path | None = None,
    expert: Any = None,
    critics: nn.ModuleDict | None = None,
) -> DecentralizedPolicy:
    """Distil an expert into students, which are written to ``<run>/students``.

    Args:
        experiment: the experiment.
        output: folder of the run, as for :func:`train`.
        expert: None: the one in ``<run>/expert``, or the experiment's external one, whose critics are fitted if
            necessary. Or anything that :func:`kdmarl_core.expert.foreign.wrap` accepts; the students' recorded origin
            is then still the experiment's expert.
        critics: group → critic of the given ``expert``; needed if the students are polished.

    Returns:
        The students, ready to act.

    Raises:
        KdmarlError: the expert is missing or does not match, or as :func:`kdmarl_core.distill.distill.distill`.
    """
    run = experiment.run_folder(output)
    if expert is None:
        return distilled(experiment, run / EXPERT_FOLDER, run / STUDENTS_FOLDER)
    expert = foreign.given(expert, experiment.env(1), experiment.expert)
    critics = critics or getattr(expert, "critics", None) or nn.ModuleDict()
    return _distil(experiment, expert, critics, run / STUDENTS_FOLDER)


def distilled(experiment: Experiment, expert_folder: Path, folder: Path) -> DecentralizedPolicy:
    """Distil the expert in ``expert_folder`` into students in ``folder``; errors as :func:`distill`."""
    expert, critics = experts.load_expert(experiment, experiment.env(1), expert_folder)
    return _distil(experiment, expert, critics, folder)


def _distil(experiment: Experiment, expert: TeamPolicy, critics: nn.ModuleDict, folder: Path) -> DecentralizedPolicy:
    students = stage_2.distill(
        experiment.distill,
        expert,
        critics,
        experiment.env,
        folder,
        experiment.seed,
        experiment.students_origin,
        experiment.expert.ppo,
    )
    return students.eval()


def export(experiment: Experiment, models: Path, output: Path | None = None, int8: bool = False) -> dict[str, Written]:
    """Write ``<run>/students`` as policy files and compare them with the networks over whole episodes.

    Args:
        experiment: the experiment.
        models: folder of the policy files.
        output: folder of the run, as for :func:`train`.
        int8: first quantise students that were distilled in float32.

    Returns:
        Robot type → its policy file.

    Raises:
        KdmarlError: the students are missing or do not match, one has memory and ``int8`` is requested, or as
            :func:`kdmarl_core.export.policies.write_policies`.
    """
    if int8 and any(network.memory for network in experiment.distill.students.values()):
        raise KdmarlError("--int8: students with memory stay in float32; leave out --int8, or set their memory to 0")
    env = experiment.env(4)
    folder = experiment.run_folder(output) / STUDENTS_FOLDER
    students = stage_2.load_students(experiment.distill, env, folder, experiment.students_origin)
    before = copy.deepcopy(students)
    if int8 and experiment.distill.quantization == "none":
        quantize(students, env, experiment.seed)
    return write_policies(students, manifests(experiment, env), models, env, experiment.seed, before)


def manifests(experiment: Experiment, env: BatchedEnv) -> dict[str, Manifest]:
    """Robot type → manifest of its policy file.

    Make them before writing any file: a rewritten policy file makes the work tree dirty, which the commit would record.
    """
    provenance = Provenance(
        kdmarl_version=__version__,
        commit=commit(experiment.folder),
        config_sha256=experiment.sha256,
        seed=experiment.seed,
        expert="",
        expert_sha256=fingerprint.sha256(experiment.expert_origin),
        created=datetime.date.today().isoformat(),
    )
    made = {}
    for group in env.groups:
        made[group.name] = Manifest(
            name=f"{experiment.name}_{group.name}",
            task=experiment.name,
            robot_type=group.name,
            observation=group.observation[STUDENT],
            action=group.action,
            control_period=env.control_period,
            goal_tolerance=getattr(experiment.task, "goal_tolerance", None),
            domain=env.domain.get(group.name),
            provenance=msgspec.structs.replace(provenance, expert=experiment.expert.described(group.name)),
        )
    return made
