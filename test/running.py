"""Which processes this test process has started, directly or not, and still run; no others are ever looked at."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_SET_CHILD_SUBREAPER = 36
"""Of prctl(2): orphans among a process's descendants become its children, not those of the machine's first process."""

ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def descendants() -> list[int]:
    """Live children of this process, their children and so on, those included whose parents have died; oldest first."""
    started, parents = {}, {}
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        try:
            # The name before the last parenthesis may hold anything.
            state, parent, *rest = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        if state not in "ZX":  # ended, but not yet waited for
            started[pid], parents[pid] = int(rest[17]), int(parent)
    return sorted((pid for pid in parents if _descends(pid, parents)), key=lambda pid: (started[pid], pid))


def _descends(pid: int, parents: dict[int, int]) -> bool:
    while pid in parents:
        pid = parents[pid]
        if pid == os.getpid():
            return True
    return False
