"""Files for Gazebo as one world, which a server without ``ros_gz_sim`` can run and a test can look through."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from kdmarl_core.contract import Swarm
from kdmarl_core.gazebo.files import Files, write
from kdmarl_core.gazebo.versions import Lidars, Release


def write_merged(
    swarm: Swarm, folder: Path, release: Release, lidars: Lidars = Lidars.RENDERING, factor: float = 1.0
) -> tuple[Element, Files]:
    """Write the files; returns the world with all robots at their starts, which is in ``merged.sdf``, and the files."""
    files = write(swarm, folder, release, lidars, factor)
    root = ElementTree.parse(files.world).getroot()
    world = root.find("world")
    for spawn in files.spawns:
        given = dict(zip(spawn.arguments[::2], spawn.arguments[1::2], strict=True))
        model = ElementTree.parse(given["-file"]).getroot().find("model")
        place = f"{given['-x']} {given['-y']} {given['-z']} 0 0 {given['-Y']}"
        pose = Element("pose")
        pose.text = place
        model.insert(0, pose)
        world.append(model)
    (folder / "merged.sdf").write_text(ElementTree.tostring(root, encoding="unicode"))
    return world, files
