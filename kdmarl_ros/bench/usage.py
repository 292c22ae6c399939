"""CPU time and memory of processes, from /proc."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

MEGABYTE = 1024.0
"""[kB], the unit of /proc"""


class Memory(NamedTuple):
    """Memory of some processes [MB]."""

    rss: float
    """sum of resident set sizes; shared pages count once per process"""
    pss: float
    """sum of proportional set sizes: shared pages are divided, so this is the memory they use together"""


def cpu_seconds(pids: Iterable[int]) -> float:
    """CPU time used so far by the threads of running processes [s]."""
    files = (path for pid in pids for path in Path(f"/proc/{pid}/task").glob("*/schedstat"))
    return sum(int(path.read_text().split()[0]) for path in files) / 1e9


def memory(pids: Iterable[int]) -> Memory:
    """Memory of running processes."""
    rss = pss = 0.0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            key, _, value = line.partition(":")
            if key == "Rss":
                rss += int(value.split()[0])
            elif key == "Pss":
                pss += int(value.split()[0])
    return Memory(rss / MEGABYTE, pss / MEGABYTE)
