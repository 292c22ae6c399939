"""A swarm file as an SDF world."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from kdmarl_core.contract import KdmarlError, Swarm
from kdmarl_core.contract.solids import TIMESTEP, WALL_HEIGHT, boxes
from kdmarl_core.gazebo.elements import CHASSIS, FLOOR, box, cylinder, element, place, solid
from kdmarl_core.gazebo.robots import robot_model
from kdmarl_core.gazebo.versions import SDF, Lidars, Release

FLOOR_MARGIN = 2.0
"""How far the floor reaches beyond the arena [m]."""
GREY = "0.6 0.6 0.6 1"


def world_file(swarm: Swarm, release: Release, lidars: Lidars, factor: float) -> str:
    """The world with all robots, as SDF text.

    Args:
        swarm: what is in it.
        release: of Gazebo.
        lidars: how distances are measured.
        factor: simulated over real time; 0 is as fast as possible.

    Raises:
        KdmarlError: the swarm file has no world, or a robot has what Gazebo worlds cannot have.
    """
    if swarm.world is None:
        raise KdmarlError(f"{swarm.path}: has no 'world', so there is nothing to simulate; add one with its size")
    root = Element("sdf", version=SDF)
    world = SubElement(root, "world", name=world_name(swarm))
    _add_physics(world, factor, lidars)
    for name in ("physics", "user-commands", "scene-broadcaster"):
        SubElement(world, "plugin", release.system(name))
    if lidars is Lidars.PHYSICS:
        SubElement(world, "plugin", release.system("cpu-lidar"))
    else:
        sensors = SubElement(world, "plugin", release.system("sensors"))
        element(sensors, "render_engine", "ogre2")
    _add_light(world)
    _add_floor(world, swarm.world.size)
    for wall in boxes(swarm.world):
        where = place(wall.x, wall.y, WALL_HEIGHT / 2, yaw=wall.yaw)
        shape = partial(box, 2 * wall.half_length, 2 * wall.half_width, WALL_HEIGHT)
        _add_static(world, f"wall:{wall.name}", where, shape)
    for index, (x, y, radius) in enumerate(swarm.world.discs):
        _add_static(world, f"pillar:{index}", place(x, y, WALL_HEIGHT / 2), partial(cylinder, radius, WALL_HEIGHT))
    for robot in swarm.robots:
        world.append(robot_model(swarm, robot, release, lidars))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def world_name(swarm: Swarm) -> str:
    """The swarm's name as SDF takes it."""
    return "".join(letter if letter.isalnum() else "_" for letter in swarm.name) or "swarm"


def _add_physics(world: Element, factor: float, lidars: Lidars) -> None:
    physics = SubElement(world, "physics", name="steps", type="dart")
    element(physics, "max_step_size", TIMESTEP)
    element(physics, "real_time_factor", factor)
    if lidars is Lidars.PHYSICS:  # the default, ODE, casts no rays
        element(SubElement(physics, "dart"), "collision_detector", "bullet")


def _add_light(world: Element) -> None:
    light = SubElement(world, "light", name="sun", type="directional")
    element(light, "direction", "-0.4 0.2 -0.9")


def _add_floor(world: Element, size: tuple[float, float]) -> None:
    model = SubElement(world, "model", name="floor")
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
