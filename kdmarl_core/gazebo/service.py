"""What is asked of a Gazebo that runs, by its command line."""

from __future__ import annotations

import shutil
import subprocess
import time

from kdmarl_core.contract import KdmarlError
from kdmarl_core.gazebo.versions import Release

TIMEOUT = 10.0
"""Longest time for an answer [s]."""
TRIES = 5
PAUSE = 1.0
"""Between two looks whether robots are there [s]."""


def tool(release: Release) -> str:
    """The path of the command line.

    Raises:
        KdmarlError: it is not installed.
    """
    found = shutil.which(release.tool)
    if found is None:
        raise KdmarlError(
            f"'{release.tool}', the command of Gazebo Sim, is not found; apt install ros-$ROS_DISTRO-ros-gz and source "
            "ROS's setup file, give the release that is installed (gz_version), or leave sim out: MuJoCo works without"
        )
    return found


def is_running(release: Release, world: str) -> bool:
    """Whether some Gazebo in the same partition has a world of that name."""
    return f"/world/{world}/create" in _ask(release, ["service", "-l"]).split()


def missing(release: Release, topics: list[str]) -> list[str]:
    """Those of some topics that nobody in Gazebo publishes."""
    there = _ask(release, ["topic", "-l"]).split()
    return [topic for topic in topics if topic not in there]


def wait_for(release: Release, topics: dict[str, str]) -> None:
    """Wait until robots are in the world; ``create`` ends before they are, whatever becomes of them.

    Args:
        release: of Gazebo.
        topics: robot → a topic that its model publishes.

    Raises:
        KdmarlError: one is not.
    """
    for _ in range(TRIES):
        left = missing(release, list(topics.values()))
        if not left:
            return
        time.sleep(PAUSE)
    names = ", ".join(robot for robot, topic in topics.items() if topic in left)
    raise KdmarlError(f"not in Gazebo's world after they were put into it: {names}; see what Gazebo says above")


def begin(release: Release, world: str) -> None:
    """Let the time of a paused world begin.

    Raises:
        KdmarlError: it does not answer, or refuses.
    """
    kinds = ["--reqtype", release.message("WorldControl"), "--reptype", release.message("Boolean")]
    request = ["service", "-s", f"/world/{world}/control", *kinds, "--timeout", "3000", "--req", "pause: false"]
    for _ in range(TRIES):
        said = _ask(release, request)
        if "data: true" in said:  # the exit code is 0 whatever comes
            return
    raise KdmarlError(f"Gazebo's world '{world}' did not begin ({said.strip() or 'no answer'}); see what it says above")


def _ask(release: Release, arguments: list[str]) -> str:
    try:
        done = subprocess.run([tool(release), *arguments], capture_output=True, text=True, timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        raise KdmarlError(
            f"{release.tool} {arguments[0]} did not answer within {TIMEOUT:g} s; start it again"
        ) from None
    return done.stdout + done.stderr
