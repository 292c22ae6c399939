"""What ``kdmarl doctor`` does: show the findings of all checks.

Needs neither torch nor ROS, and imports neither.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from rich.console import Console

from kdmarl_core.contract import KdmarlError, load_swarm
from kdmarl_core.doctor import policies, ros_settings
from kdmarl_core.doctor.findings import Finding, attempt, writable
from kdmarl_core.doctor.show import show
from kdmarl_core.doctor.software import software


def doctor(swarm_path: Path | None, models: Path, allow_outside: bool, live: bool = False) -> int:
    """Print the findings, one per line, and return 1 if something fails, else 0.

    Args:
        swarm_path: swarm file whose policies are checked against its robots; None checks the files of ``models``.
        models: folder of policy files, used without a swarm file.
        allow_outside: as in :func:`~kdmarl_core.contract.load_swarm`.
        live: whether to look at the running topics of the swarm's robots, too.

    Raises:
        KdmarlError: ``live`` is given without a swarm file.
    """
    if live and swarm_path is None:
        raise KdmarlError("--live looks at the robots of a swarm file; name one")
    failed = show(Console(soft_wrap=True, highlight=False), _findings(swarm_path, models, allow_outside))
    if not live or swarm_path is None:
        return failed
    return max(failed, *(_look(swarm_path, robot.name) for robot in load_swarm(swarm_path, allow_outside).robots))


def _look(swarm_path: Path, robot: str) -> int:
    """1 if something of a running robot fails, else 0; in a process of its own, since it needs ROS."""
    print(f"\n{robot}", flush=True)
    command = [sys.executable, "-m", "kdmarl_ros.swarm_cli", "check", str(swarm_path), robot, "--allow-outside"]
    return int(subprocess.run(command, check=False).returncode != 0)


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
