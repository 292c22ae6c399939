"""Where results come from: the commit and the command line."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

RESULTS = "docs/results"
"""Where results are, from the top of the work tree."""


def commit(folder: Path) -> str:
    """The commit of the work tree around ``folder``, with ``-dirty`` when something but results is not committed."""
    changed = ["status", "--porcelain", "--untracked-files=no", "--", ":(top)", f":(top,exclude){RESULTS}"]
    try:
        head, changes = (_git(folder, *command) for command in (["rev-parse", "HEAD"], changed))
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return f"{head}-dirty" if changes else head


def _git(folder: Path, *command: str) -> str:
    # Without that option, git writes what it has learnt of the files into its index.
    whole = ["git", "--no-optional-locks", "-C", str(folder), *command]
    return subprocess.run(whole, capture_output=True, text=True, check=True, timeout=10).stdout.strip()


def command_line() -> str:
    """The command line as it was given."""
    return shlex.join(["kdmarl", *sys.argv[1:]])
