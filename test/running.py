"""Which processes run on this machine."""

from __future__ import annotations

import os


def alive(word: str) -> list[int]:
    """Processes that have ``word`` on their command line."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if word.encode() in file.read():
                    found.append(int(pid))
        except OSError:
            continue
    return found
