"""What processes take of the computer, as Linux counts it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

MEGABYTE = 1024.0
"""[kB], the unit of /proc"""


class Memory(NamedTuple):
    """Memory of some processes [MB]."""

    rss: float
    """what each has mapped, added up; shared pages count once for each"""
    pss: float
    """shared pages count in parts, so that this is what they take together"""


def cpu_seconds(pids: Iterable[int]) -> float:
    """CPU time that the threads of running processes have had so far [s]."""
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
