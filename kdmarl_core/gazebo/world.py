"""The arena of a swarm file as an SDF world, and what somebody's own world has to have."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from kdmarl_core.contract import KdmarlError, Swarm, World
from kdmarl_core.contract.solids import TIMESTEP, WALL_HEIGHT, boxes
from kdmarl_core.gazebo.elements import CHASSIS, FLOOR, box, cylinder, element, place, solid, text_of
from kdmarl_core.gazebo.sdf import read_world
from kdmarl_core.gazebo.versions import SDF, Lidars, Release

FLOOR_MARGIN = 2.0
"""How far the floor reaches beyond the arena [m]."""
GREY = "0.6 0.6 0.6 1"
STANDARD = ("physics", "user-commands", "scene-broadcaster")
"""Systems that a world without any gets from Gazebo; robots need the first two."""
LAST_WITHOUT_STANDARD = 8
"""Release up to which a world with any system has to name all that it needs."""
SERVER_CONFIG = {"GZ_SIM_SERVER_CONFIG_PATH", "IGN_GAZEBO_SERVER_CONFIG_PATH"}
"""Environment variables that name a file with other systems than those."""


def world_file(name: str, arena: World, release: Release, lidars: Lidars, factor: float) -> str:
    """The world without robots, as SDF text.

    Args:
        name: of the swarm.
        arena: what is in it.
        release: of Gazebo.
        lidars: how distances are measured.
        factor: simulated over real time; 0 is as fast as possible.
    """
    root = Element("sdf", version=SDF)
    world = SubElement(root, "world", name=world_name(name))
    _add_physics(world, factor, lidars)
    for system in STANDARD:
        SubElement(world, "plugin", release.system(system))
    sensors = SubElement(world, "plugin", release.system(sensing(lidars)))
    if lidars is Lidars.RENDERING:
        element(sensors, "render_engine", "ogre2")
    _add_light(world)
    _add_floor(world, arena.size)
    for wall in boxes(arena):
        where = place(wall.x, wall.y, WALL_HEIGHT / 2, yaw=wall.yaw)
        shape = partial(box, 2 * wall.half_length, 2 * wall.half_width, WALL_HEIGHT)
        _add_static(world, f"wall:{wall.name}", where, shape)
    for index, (x, y, radius) in enumerate(arena.discs):
        _add_static(world, f"pillar:{index}", place(x, y, WALL_HEIGHT / 2), partial(cylinder, radius, WALL_HEIGHT))
    return text_of(root)


def world_name(name: str) -> str:
    """A swarm's name as the name of a world."""
    return "".join(letter if letter.isalnum() else "_" for letter in name) or "swarm"


def sensing(lidars: Lidars) -> str:
    """The system that measures distances."""
    return "cpu-lidar" if lidars is Lidars.PHYSICS else "sensors"


def check_own_world(swarm: Swarm, path: Path, release: Release, lidars: Lidars) -> str:
    """See that the SDF file at ``path`` has what robots need; returns the name of its world.

    Raises:
        KdmarlError: it has not.
    """
    world = read_world(path)
    name = world.get("name")
    if not name:
        raise KdmarlError(f"{path}: its <world> has no name; give it one")
    taken = {each.get("name") for each in world.findall("model")} | {each.findtext("name") for each in world}
    for robot in swarm.robots:
        if robot.name in taken:
            raise KdmarlError(
                f"{path}: has a model '{robot.name}', and so has {swarm.path} a robot; rename one of both"
            )
    if not re.fullmatch(r"[\w-]+", name):
        raise KdmarlError(f"{path}: its world is named '{name}'; use letters, digits, _ and -, as topics have its name")
    found = [system_name(each.get("filename", "")) for each in world.findall("plugin")]
    # Fortress and Harmonic bring systems only where a world has none, later releases add them.
    by_itself = release.major > LAST_WITHOUT_STANDARD or not found
    wanted = () if by_itself else STANDARD[:2]
    if any(swarm.robot_type(robot).sensors.carried for robot in swarm.robots):
        wanted = (*wanted, sensing(lidars))
    if SERVER_CONFIG & os.environ.keys() and by_itself:
        return name
    for needed in wanted:
        if needed not in found:
            line = ElementTree.tostring(Element("plugin", release.system(needed)), encoding="unicode")
            alone = not found and release.major <= LAST_WITHOUT_STANDARD
            rest = f", and {', '.join(STANDARD)}, which come by themselves only where it has none" if alone else ""
            raise KdmarlError(f"{path}: its world lacks the system '{needed}'; add {line} to it{rest}")
    return name


def system_name(file: str) -> str:
    """Of the file of a system, such as ``diff-drive`` of ``libgz-sim8-diff-drive-system.so``."""
    found = re.fullmatch(r"(?:lib)?(?:gz-sim|ignition-gazebo)\d*-(.*)-system(?:\.so)?", file.rpartition("/")[2])
    return found[1] if found else file


def _add_physics(world: Element, factor: float, lidars: Lidars) -> None:
    physics = SubElement(world, "physics", name="steps", type="dart")
    element(physics, "max_step_size", TIMESTEP)
    element(physics, "real_time_factor", factor)
    if lidars is Lidars.PHYSICS:  # the default, ODE, casts no rays
        element(SubElement(physics, "dart"), "collision_detector", "bullet")


def _add_light(world: Element) -> None:
    light = SubElement(world, "light", name="arena:sun", type="directional")
    element(light, "direction", "-0.4 0.2 -0.9")


def _add_floor(world: Element, size: tuple[float, float]) -> None:
    model = SubElement(world, "model", name="arena:floor")
    element(model, "static", 1)
    link = SubElement(model, "link", name="link")
    for kind in ("collision", "visual"):
        plane = Element("plane")
        element(plane, "normal", "0 0 1")
        element(plane, "size", f"{size[0] + 2 * FLOOR_MARGIN:g} {size[1] + 2 * FLOOR_MARGIN:g}")
        solid(link, kind, "floor", None, plane, FLOOR, friction=1.0)


def _add_static(world: Element, name: str, pose: str, shape: Callable[[], Element]) -> None:
    model = SubElement(world, "model", name=name)
    element(model, "static", 1)
    element(model, "pose", pose)
    link = SubElement(model, "link", name="link")
    for kind in ("collision", "visual"):
        made = solid(link, kind, "body", None, shape(), CHASSIS)
        if kind == "visual":
            material = SubElement(made, "material")
            element(material, "ambient", GREY)
            element(material, "diffuse", GREY)
