"""Pieces of SDF."""

from __future__ import annotations

from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

FLOOR, CHASSIS = 0x01, 0x02
"""What touches what, as bits: wheels and balls the floor only; chassis, walls and pillars each other only."""


def element(parent: Element, tag: str, value: str | float) -> Element:
    """Add ``<tag>value</tag>``."""
    made = SubElement(parent, tag)
    made.text = value if isinstance(value, str) else f"{value:.9g}"
    return made


def text_of(root: Element) -> str:
    """A whole file."""
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def place(x: float = 0.0, y: float = 0.0, z: float = 0.0, roll: float = 0.0, yaw: float = 0.0) -> str:
    """A pose [m, rad]."""
    return f"{x:.6f} {y:.6f} {z:.6f} {roll:.9f} 0 {yaw:.9f}"


def cylinder(radius: float, length: float) -> Element:
    """An upright one [m]."""
    made = Element("cylinder")
    element(made, "radius", radius)
    element(made, "length", length)
    return made


def ball(radius: float) -> Element:
    """[m]."""
    made = Element("sphere")
    element(made, "radius", radius)
    return made


def box(length: float, width: float, height: float) -> Element:
    """Along x, y, z [m]."""
    made = Element("box")
    element(made, "size", f"{length:.6f} {width:.6f} {height:.6f}")
    return made


def solid(
    link: Element, kind: str, name: str, pose: str | None, shape: Element, touches: int, friction: float | None = None
) -> Element:
    """Add a ``collision`` or a ``visual``; a collision touches what has a bit of ``touches``, too."""
    made = SubElement(link, kind, name=f"{name}_{kind}")  # names of all parts of a link differ
    if pose:
        element(made, "pose", pose)
    SubElement(made, "geometry").append(shape)
    if kind == "visual":
        return made
    surface = SubElement(made, "surface")
    element(SubElement(surface, "contact"), "collide_bitmask", touches)
    if friction is not None:
        ode = SubElement(SubElement(surface, "friction"), "ode")
        element(ode, "mu", friction)
        element(ode, "mu2", friction)
    return made


def inertia(link: Element, mass: float, moments: tuple[float, float, float], height: float = 0.0) -> None:
    """Add mass [kg] and moments about x, y and z [kg·m²] of a part whose middle is ``height`` over the link [m]."""
    inertial = SubElement(link, "inertial")
    element(inertial, "pose", place(z=height))
    element(inertial, "mass", mass)
    made = SubElement(inertial, "inertia")
    for axis, moment in zip("xyz", moments, strict=True):
        element(made, f"i{axis}{axis}", moment)
    for axes in ("ixy", "ixz", "iyz"):
        element(made, axes, 0.0)
