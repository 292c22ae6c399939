"""Where results come from: the commit and the command line."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

RESULTS = "docs/results"
"""Folder of results, relative to the top of the work tree."""


def commit(folder: Path) -> str:
    """The commit of the work tree of ``folder``, with ``-dirty`` if there are uncommitted changes besides results."""
    changed = ["status", "--porcelain", "--untracked-files=no", "--", ":(top)", f":(top,exclude){RESULTS}"]
    try:
        head, changes = (_git(folder, *command) for command in (["rev-parse", "HEAD"], changed))
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return f"{head}-dirty" if changes else head


def _git(folder: Path, *command: str) -> str:
    # Without this option, git refreshes its index file.
    whole = ["git", "--no-optional-locks", "-C", str(folder), *command]
    return subprocess.run(whole, capture_output=True, text=True, check=True, timeout=10).stdout.strip()


def command_line() -> str:
    """The command line as it was given."""
    return shlex.join(["kdmarl", *sys.argv[1:]])
