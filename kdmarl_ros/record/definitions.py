"""Definitions of message types, as recordings hold them: with those of all types that they are made of."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from kdmarl_core.contract import KdmarlError

SEPARATOR = "\n" + "=" * 80 + "\n"
"""Between a type and the ones that it is made of, in rosbag2's format ``ros2msg``."""

FIELD = re.compile(r"^\s*([A-Za-z][\w/]*)(\[[^\]]*\])?\s+\w+")
BUILT_IN = re.compile(r"(bool|byte|char|w?string|float(32|64)|u?int(8|16|32|64))(<=\d+)?")


def definition(kind: str) -> str:
    """Of a type such as ``sensor_msgs/msg/LaserScan``.

    Raises:
        KdmarlError: its ``.msg`` file, or one of those that it needs, is not installed.
    """
    found: dict[str, str] = {}
    waiting = [kind]
    while waiting:
        name = waiting.pop(0)
        if name not in found:
            found[name] = _text(name)
            waiting += _parts(name, found[name])
    first, *others = found
    return SEPARATOR.join([found[first], *(f"MSG: {_short(name)}\n{found[name]}" for name in others)])


def _text(kind: str) -> str:
    package, _, name = kind.split("/")
    for folder in _shares():
        path = folder / package / "msg" / f"{name}.msg"
        if path.is_file():
            return path.read_text(encoding="utf-8").strip()
    raise KdmarlError(f"{kind} cannot be recorded: {package}/msg/{name}.msg is not installed; install {package} whole")


def _shares() -> Iterator[Path]:
    for prefix in (*os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep), sys.prefix):
        if prefix:
            yield Path(prefix) / "share"


def _parts(kind: str, text: str) -> Iterator[str]:
    """Full names of the types of the fields."""
    package = kind.split("/")[0]
    for line in text.splitlines():
        match = FIELD.match(line.partition("#")[0])
        if match and not BUILT_IN.fullmatch(match.group(1)):
            parts = match.group(1).split("/")
            yield f"{parts[0] if len(parts) > 1 else package}/msg/{parts[-1]}"


def _short(kind: str) -> str:
    package, _, name = kind.split("/")
    return f"{package}/{name}"
