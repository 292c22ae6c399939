"""Lists running processes that this test process has started, directly or indirectly; ignores all others."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_SET_CHILD_SUBREAPER = 36
"""Of prctl(2): orphaned descendants of a process become its children, not those of init."""

ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def descendants() -> list[int]:
    """Live descendants of this process, including orphans; oldest first."""
    started, parents = {}, {}
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        try:
            # The name before the last parenthesis may contain any character.
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
