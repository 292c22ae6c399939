"""The files that Gazebo and its bridge take, in one folder."""

from __future__ import annotations

from pathlib import Path

from kdmarl_core.contract import KdmarlError, Swarm
from kdmarl_core.gazebo.topics import bridge_file
from kdmarl_core.gazebo.versions import Lidars, Release
from kdmarl_core.gazebo.world import world_file

WORLD, BRIDGE = "world.sdf", "bridge.yaml"
"""Names of the files."""


def write(swarm: Swarm, folder: Path, release: Release, lidars: Lidars, factor: float = 1.0) -> None:
    """Write the world and the bridge file.

    Args:
        swarm: to simulate.
        folder: is made if need be.
        release: of Gazebo.
        lidars: how distances are measured.
        factor: simulated over real time; 0 is as fast as possible.

    Raises:
        KdmarlError: the swarm cannot be simulated in Gazebo, or a file cannot be written.
    """
    world = world_file(swarm, release, lidars, factor)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / WORLD).write_text(world, encoding="utf-8")
        (folder / BRIDGE).write_text(bridge_file(swarm, release), encoding="utf-8")
    except OSError as error:
        raise KdmarlError(f"{folder} cannot be written: {error.strerror}; choose another folder") from None
