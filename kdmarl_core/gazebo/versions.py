"""Releases of Gazebo Sim: what they call systems, messages and tags."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

SDF = "1.8"
"""Version of the format that is written; later releases read it as well."""


class Lidars(str, Enum):
    """How distances are measured."""

    RENDERING = "rendering"
    """by the graphics engine (``gpu_lidar``), as all releases can"""
    PHYSICS = "physics"
    """by the physics engine, without graphics: releases after Jetty, or a system of that name from elsewhere"""


FIRST_GZ = 7
"""Release whose command is ``gz``; of those before it is ``ign``."""


class Release(NamedTuple):
    """One release."""

    major: int
    """of the simulator's library, which ``gz_version`` of ``ros_gz_sim`` names"""
    ros: str
    """ROS 2 distribution that it comes with"""
    systems: str
    """namespace of systems"""
    files: str
    """what the file names of systems begin with"""
    messages: str
    """what the names of messages begin with"""
    tag: str
    """what non-standard tags of SDF begin with"""

    def system(self, name: str) -> dict[str, str]:
        """File and class of a system, such as ``diff-drive``, as a plugin's attributes."""
        words = "".join(word.capitalize() for word in name.split("-"))
        return {"filename": f"{self.files}-{name}-system", "name": f"{self.systems}::{words}"}

    @property
    def tool(self) -> str:
        """The command."""
        return "ign" if self.major < FIRST_GZ else "gz"

    def variable(self, name: str) -> str:
        """An environment variable of Gazebo's, such as GZ_SIM_RESOURCE_PATH for ``RESOURCE_PATH``."""
        return f"{'IGN_GAZEBO' if self.major < FIRST_GZ else 'GZ_SIM'}_{name}"

    def server(self, world: str, seed: int, headless: bool) -> list[str]:
        """The arguments of the command that start Gazebo with the file of a ``world``, paused; Fortress has no seed."""
        window = ["-s"] if headless else []
        version = ["--force-version", str(self.major)]
        if self.major < FIRST_GZ:
            return ["gazebo", *window, "-v", "2", world, *version]
        return ["sim", *window, "-v", "2", "--seed", str(seed), world, *version]

    def message(self, name: str) -> str:
        """A message's type, such as ``gz.msgs.Twist`` for ``Twist``."""
        return f"{self.messages}.{name}"


_IGNITION = ("ignition::gazebo::systems", "ignition-gazebo", "ignition.msgs", "ignition")
_GZ = ("gz::sim::systems", "gz-sim", "gz.msgs", "gz")

RELEASES = {
    "fortress": Release(6, "humble", *_IGNITION),
    "harmonic": Release(8, "jazzy", *_GZ),
    "ionic": Release(9, "kilted", *_GZ),
    "jetty": Release(10, "lyrical", *_GZ),
}
"""By name."""
NEWEST = "jetty"


def release_of(distribution: str | None) -> str:
    """The release that comes with a ROS 2 distribution; the newest where that is not known."""
    return next((name for name, release in RELEASES.items() if release.ros == distribution), NEWEST)
