"""Checkpoints: one safetensors file that is replaced atomically; no pickle."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from kdmarl_core.contract import KdmarlError
from kdmarl_core.contract.writing import replacing
from kdmarl_core.expert.fingerprint import Facts, differences, encode

FACTS = "facts"
AGAIN = {"train": "train again with --fresh or another --output", "distill": "distill again"}
"""Command that makes a checkpoint → how to start from scratch."""


def save(
    path: Path,
    modules: dict[str, nn.Module],
    optimizer: torch.optim.Optimizer | None,
    facts: Facts,
    notes: dict[str, str],
) -> None:
    """Write modules, optimiser state, what they depend on, and short notes, atomically.

    Raises:
        KdmarlError: the file cannot be written.
    """
    tensors = {f"{name}/{key}": value for name, module in modules.items() for key, value in module.state_dict().items()}
    if optimizer:
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{index}/{key}": value for key, value in state.items()}
    with replacing(path) as scratch:
        try:
            save_file(
                {key: value.contiguous().clone() for key, value in tensors.items()},
                scratch,
                notes | {FACTS: encode(facts)},
            )
        except SafetensorError as error:
            raise OSError(str(error)) from None


def load(
    path: Path,
    modules: dict[str, nn.Module],
    facts: Facts,
    command: str,
    optimizer: torch.optim.Optimizer | None = None,
) -> dict[str, str]:
    """Read a checkpoint into modules (and the optimiser) and return its notes.

    Args:
        path: the file.
        modules: name → network to fill.
        facts: what the checkpoint must depend on.
        command: ``train`` or ``distill``: what makes such checkpoints.
        optimizer: to fill.

    Raises:
        KdmarlError: the file is missing, damaged, or depends on other facts; the first that differ are named.
    """
    try:
        with safe_open(path, "pt") as file:
            notes = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
    except FileNotFoundError:
        raise KdmarlError(f"{path}: no such checkpoint; {command} first") from None
    except OSError as error:
        raise KdmarlError(f"{path}: cannot be read ({error.strerror or error}); give another folder") from None
    except SafetensorError as error:
        raise KdmarlError(f"{path}: checkpoint is damaged ({error}); delete it and {command} again") from None
    _check(path, notes.get(FACTS, ""), facts, command)
    for name, module in modules.items():
        try:
            module.load_state_dict(_part(tensors, name))
        except RuntimeError as error:
            first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
            raise KdmarlError(
                f"{path}: does not fit this configuration ({first}); give the one it was trained with"
            ) from None
    if optimizer:
        _load_optimizer(optimizer, _part(tensors, "optimizer"))
    return notes


def _check(path: Path, kept: str, facts: Facts, command: str) -> None:
    try:
        different = differences(kept, facts)
    except ValueError:
        raise KdmarlError(f"{path}: does not say what it was made with; {AGAIN[command]}") from None
    if different:
        raise KdmarlError(f"{path}: was made with {different}; set that back, or {AGAIN[command]}")


def _part(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key.removeprefix(f"{name}/"): value for key, value in tensors.items() if key.startswith(f"{name}/")}


def _load_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, entry = key.split("/")
        state.setdefault(int(index), {})[entry] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
