"""What ROS reads from the environment when a node starts, by ROS's own rules.

Nodes and ``kdmarl doctor`` ask the same functions, so that what the one calls good starts the other.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from kdmarl_core.errors import KdmarlError

DOMAINS = range(233)
"""Values of ROS_DOMAIN_ID that DDS has ports for; above 101, Linux may have given the ports away."""

LOGS = "logs of nodes"
"""What is written in :func:`log_folder`."""


def check_environment(environment: Mapping[str, str]) -> None:
    """See that a node can start with these variables, as far as this can be checked beforehand.

    Raises:
        KdmarlError: it cannot.
    """
    domain(environment)
    require_writable(log_folder(environment), LOGS)


def domain(environment: Mapping[str, str]) -> int | None:
    """ROS_DOMAIN_ID, or None where it is not set.

    Raises:
        KdmarlError: the value is not a domain. ROS itself reads 010 as 8 and -1 as not set; both are refused here.
    """
    value = environment.get("ROS_DOMAIN_ID", "")
    if not value:
        return None
    if not re.fullmatch("0|[1-9][0-9]{0,2}", value) or int(value) not in DOMAINS:
        raise KdmarlError(f"ROS_DOMAIN_ID is '{value[:40]}'; give {DOMAINS[0]} to {DOMAINS[-1]}")
    return int(value)


def log_folder(environment: Mapping[str, str]) -> Path:
    """Where ROS writes the logs of nodes: ROS_LOG_DIR, else ROS_HOME/log, else ~/.ros/log.

    Raises:
        KdmarlError: it would be in the home, and HOME is not set.
    """
    chosen = environment.get("ROS_LOG_DIR") or f"{environment.get('ROS_HOME') or '~/.ros'}/log"
    if not chosen.startswith("~"):
        return Path(chosen)
    home = environment.get("HOME")
    if not home:
        raise KdmarlError(
            f"HOME is not set, and ROS writes logs of nodes to {chosen}; set HOME, or ROS_LOG_DIR to another folder"
        )
    return Path(home + chosen[1:])


def require_writable(folder: Path, use: str) -> None:
    """See that files can be made in ``folder``, or in the nearest folder above it that exists.

    Raises:
        KdmarlError: they cannot.
    """
    there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    if not there.is_dir():
        raise KdmarlError(f"{folder} cannot be written ({use}); {there} is not a folder, name another")
    if not os.access(there, os.W_OK | os.X_OK):
        raise KdmarlError(f"{folder} cannot be written ({use}); change the permissions of {there}")
