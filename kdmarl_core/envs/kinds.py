"""The tasks that an experiment file can name: those of this package by a word, others by their Python name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kdmarl_core.contract import KdmarlError
from kdmarl_core.contract.files import convert
from kdmarl_core.envs.dotted import load_class
from kdmarl_core.envs.task import KINDS, TaskConfig


def read_task(data: Any, source: str, folder: Path) -> TaskConfig:
    """The task in an experiment file.

    Args:
        data: the plain data under ``task``.
        source: names the file in errors.
        folder: of the file; a module there is found, too.

    Raises:
        KdmarlError: ``kind`` is missing or unknown, cannot be imported or is not a task, or its keys do not fit.
    """
    if not isinstance(data, dict):
        raise KdmarlError(f"{source}: $.task: expected `object`, got `{_kind_of(data)}`")
    kind = data.get("kind")
    if not isinstance(kind, str):
        raise KdmarlError(f"{source}: $.task: give its kind, one of {', '.join(KINDS)}, or your_package.module:Config")
    if kind not in KINDS and ":" not in kind:
        known = ", ".join(KINDS)
        raise KdmarlError(
            f"{source}: $.task.kind: unknown kind '{kind}'; give one of {known}, or your_package.module:Config"
        )
    where = f"{source}: $.task.kind"
    found = load_class(KINDS.get(kind, kind), TaskConfig, where, None if kind in KINDS else folder)
    for method in ("env", "types"):
        if getattr(found, method) is getattr(TaskConfig, method):
            raise KdmarlError(f"{where}: {kind} does not define {method}; see kdmarl_core.envs.task.TaskConfig")
    keys = {key: value for key, value in data.items() if key != "kind"}
    if found.__struct_config__.tag is not None:  # which a subclass has from its base
        keys[found.__struct_config__.tag_field] = found.__struct_config__.tag
    return convert(keys, found, source, at="$.task")


def _kind_of(data: Any) -> str:
    return "null" if data is None else type(data).__name__
