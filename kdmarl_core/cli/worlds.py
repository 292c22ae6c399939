"""What ``kdmarl worlds`` does: write what Gazebo needs to simulate a swarm, without starting it."""

from __future__ import annotations

import os
from pathlib import Path

from msgspec.structs import replace

from kdmarl_core.contract import KdmarlError, load_swarm
from kdmarl_core.gazebo.files import BRIDGE, MODELS, SPAWN, write
from kdmarl_core.gazebo.obstacles import obstacles_of
from kdmarl_core.gazebo.versions import RELEASES, Lidars, release_of
from kdmarl_core.judge.tracks_figure import save_start

PICTURE = "preview.png"


def worlds(swarm_path: Path, output: Path, release: str, lidars: str, allow_outside: bool) -> None:
    """Write world, models, bridge file and picture, and say how to use them.

    Args:
        swarm_path: swarm file.
        output: folder.
        release: of Gazebo; empty for that of the sourced ROS distribution.
        lidars: one of ``Lidars``.
        allow_outside: as in :func:`~kdmarl_core.contract.load_swarm`.

    Raises:
        KdmarlError: an argument or the swarm file does not fit, or the files cannot be written.
    """
    name = release or release_of(os.environ.get("ROS_DISTRO"))
    if name not in RELEASES:
        raise KdmarlError(f"--gz-version is '{name}'; give {', '.join(RELEASES)}")
    if lidars not in [each.value for each in Lidars]:
        raise KdmarlError(f"--lidars is '{lidars}'; give {' or '.join(each.value for each in Lidars)}")
    swarm = load_swarm(swarm_path, allow_outside)
    files = write(swarm, output, RELEASES[name], Lidars(lidars))
    save_start(output / PICTURE, replace(swarm, world=obstacles_of(swarm).world))
    world = files.world or f"a world '{files.world_name}' that runs"
    print(f"{world}: the world, for Gazebo {name.capitalize()}; {files.obstacles}")
    print(f"{output / MODELS}: {len(swarm.robots)} robots, which {output / SPAWN} puts into the world")
    print(f"{output / BRIDGE}: their topics, for ros_gz_bridge")
    print(f"{output / PICTURE}: the start, seen from above")
