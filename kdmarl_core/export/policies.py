"""Policy files of a whole team, each compared with its network over whole episodes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import torch

from kdmarl_core.contract import KdmarlError, Manifest
from kdmarl_core.distill import quantization
from kdmarl_core.envs.base import STUDENT, BatchedEnv
from kdmarl_core.evaluate import episodes
from kdmarl_core.expert.memory import Memory
from kdmarl_core.expert.policies import DecentralizedPolicy, observe
from kdmarl_core.export import onnx_export
from kdmarl_core.export.int8 import write_int8_policy
from kdmarl_core.runtime import Policy

PARITY = 1e-4
"""Largest difference allowed between a policy file and its network [m/s, rad/s]."""
PARITY_EPISODES = 20
CALIBRATION_EPISODES = 40
"""From which int8 ranges are taken; their seed is that of training."""


class Written(NamedTuple):
    """A policy file that was written."""

    path: Path
    difference: float
    """largest difference from its network in whole episodes [m/s, rad/s]; 1 for another discrete action"""
    mean: float
    """of the differences"""


def write_policies(
    students: DecentralizedPolicy,
    manifests: Mapping[str, Manifest],
    folder: Path,
    env: BatchedEnv,
    seed: int,
    distilled: DecentralizedPolicy | None = None,
) -> dict[str, Written]:
    """Write ``<folder>/<name in the manifest>.onnx`` for every type, and compare them with their networks in ``env``.

    Quantised students become int8 files. These are compared with ``distilled``, the students before quantisation, and
    may differ.

    Args:
        students: the team's networks.
        manifests: type → manifest of its file.
        folder: for the files.
        env: for the comparison.
        seed: of the episodes of the comparison.
        distilled: see above.

    Returns:
        Type → its file.

    Raises:
        KdmarlError: a file cannot be written, or one in float32 differs from its network; then it is removed.
    """
    policies = {}
    for group in env.groups:
        manifest, actor = manifests[group.name], students.actor(group.name)
        path = folder / f"{manifest.name}.onnx"
        if quantization.layers(actor):
            write_int8_policy(actor, msgspec.structs.replace(manifest, quantization="int8"), path)
        else:
            onnx_export.write_policy(actor, manifest, path)
        policies[group.name] = Policy.load(path)
    written = {}
    parity = _Parity(env, policies, distilled or students)
    episodes.run(env, parity, PARITY_EPISODES, seed)
    for name, parts in parity.found.items():
        found = np.concatenate(parts)
        difference = float(found.max())
        written[name] = Written(policies[name].path, difference, float(found.mean()))
        if difference > PARITY and policies[name].manifest.quantization == "none":
            written[name].path.unlink()
            raise KdmarlError(
                f"{written[name].path}: differs from its network by {difference:.2g} and was removed; report this bug"
            )
    return written


class _Parity:
    """Drives with policy files, and compares them with networks that should act alike; each has its own states.

    Attributes:
        found: differences of each type's commands so far, a list of (M, A).
    """

    def __init__(self, env: BatchedEnv, policies: dict[str, Policy], networks: DecentralizedPolicy) -> None:
        self.found: dict[str, list[np.ndarray]] = {name: [] for name in policies}
        self._files, self._networks, self._memory = episodes.PolicyFiles(policies), networks, Memory(networks, env)

    @torch.no_grad()
    def __call__(self, env: BatchedEnv) -> dict[str, np.ndarray]:
        """The files' commands."""
        commands = self._files(env)
        states = self._memory.states
        for name, seen in env.observe(STUDENT).items():
            flat = seen.reshape(-1, seen.shape[-1])
            state = states[name].flatten(0, 1) if name in states else None
            given = commands[name].reshape(len(flat), -1)
            self.found[name].append(onnx_export.differences(self._networks.actor(name), flat, given, state))
        self._memory.step(observe(env, STUDENT))
        return commands

    def forget(self, ended: np.ndarray) -> None:
        """Reset recurrent states in the environments that have ``ended``, (B,) bool."""
        self._files.forget(ended)
        self._memory.forget(torch.from_numpy(ended))


def quantize(students: DecentralizedPolicy, env: BatchedEnv, seed: int) -> None:
    """Quantise students without memory to int8, with ranges from whole episodes that they drive."""
    seen: dict[str, list[torch.Tensor]] = {group.name: [] for group in env.groups}

    @torch.no_grad()
    def watched(env: BatchedEnv) -> dict[str, np.ndarray]:
        observation = observe(env, STUDENT)
        for name, rows in observation.items():
            seen[name].append(rows.flatten(0, 1).clone())
        return {name: students.actor(name).greedy(rows).numpy() for name, rows in observation.items()}

    episodes.run(env, watched, CALIBRATION_EPISODES, seed)
    quantization.calibrate(students, {name: torch.cat(parts) for name, parts in seen.items()})
