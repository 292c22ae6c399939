"""What a check finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from kdmarl_core.contract import KdmarlError
from kdmarl_core.contract.ros_environment import require_writable


class Finding(NamedTuple):
    """One line of the report; warnings and failures include a remedy."""

    level: Literal["ok", "warn", "fail"]
    text: str


def attempt(check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """The findings of a check; an error becomes a failure with its sentence."""
    try:
        yield from check()
    except KdmarlError as error:
        yield Finding("fail", str(error))


def writable(folder: Path, use: str) -> Iterator[Finding]:
    """Check that files can be written into a folder, whose ``use`` an error names."""
    require_writable(folder, use)
    yield Finding("ok", f"{folder} can be written ({use})")
