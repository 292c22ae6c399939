"""What ``kdmarl doctor`` does: show the findings of all checks.

Needs neither torch nor ROS, and imports neither.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from rich.console import Console

from kdmarl_core.doctor import policies, ros_settings
from kdmarl_core.doctor.findings import Finding, attempt, writable
from kdmarl_core.doctor.show import show
from kdmarl_core.doctor.software import software


def doctor(swarm_path: Path | None, models: Path, allow_outside: bool) -> int:
    """Print the findings, one per line, and return 1 if something fails, else 0.

    Args:
        swarm_path: swarm file whose policies are checked against its robots; None checks the files of ``models``.
        models: folder of policy files, used without a swarm file.
        allow_outside: as in :func:`~kdmarl_core.contract.load_swarm`.
    """
    return show(Console(soft_wrap=True, highlight=False), _findings(swarm_path, models, allow_outside))


def _findings(swarm_path: Path | None, models: Path, allow_outside: bool) -> Iterator[Finding]:
    yield from software()
    yield from attempt(partial(ros_settings.domain_id, os.environ))
    yield ros_settings.transport(os.environ)
    yield from attempt(partial(writable, Path("runs"), "output of runs"))
    yield from attempt(partial(ros_settings.logs, os.environ))
    if swarm_path is None:
        yield from policies.in_folder(models)
    else:
        yield from policies.of_swarm(swarm_path, allow_outside)
