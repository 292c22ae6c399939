"""A wall clock that can be set for single processes, with libfaketime if it is installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import node_process

LIBRARIES = sorted(Path("/usr/lib").glob("**/faketime/libfaketimeMT.so.1"))
MISSING = "" if LIBRARIES else "needs libfaketime (Debian and Ubuntu: apt install libfaketime)"


def missing(model: str) -> str:
    """Why nodes started as ``model`` cannot have a separate clock; empty if they can."""
    return "libfaketime keeps a process with many threads from starting" if model == "host" else MISSING


class WallClock:
    """The wall clock of processes started within :meth:`worn`; their steady clock is not changed."""

    def __init__(self, file: Path) -> None:
        """Keep the offset in ``file``."""
        self._file = file
        self.set(0.0)

    def set(self, offset: float) -> None:
        """Let it differ from the machine's by ``offset`` [s]."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{offset:+.3f}")
        new.replace(self._file)  # at once: the processes read it at every look at the clock
        self.offset = offset

    @contextmanager
    def worn(self) -> Iterator[None]:
        """Start processes with this clock."""
        environment = {
            "LD_PRELOAD": str(LIBRARIES[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        node_process.EXTRA |= environment
        try:
            yield
        finally:
            for name in environment:
                del node_process.EXTRA[name]
