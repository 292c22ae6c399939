"""Reading of SDF, URDF and xacro: files, what they include, and what stands in them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from kdmarl_core.contract import KdmarlError

NAMESPACES = {"gz": "http://gazebosim.org/schema", "ignition": "http://ignitionrobotics.org/schema"}
"""Prefixes of names in SDF."""
for _prefix, _name in NAMESPACES.items():
    ElementTree.register_namespace(_prefix, _name)  # else they are written under other names
RESOURCE_PATHS = ("GZ_SIM_RESOURCE_PATH", "IGN_GAZEBO_RESOURCE_PATH", "SDF_PATH")
"""Environment variables with the folders of ``model://`` names."""
XACRO_TIMEOUT = 60.0
"""[s]"""


def read(path: Path) -> Element:
    """The root of an XML file.

    Raises:
        KdmarlError: it cannot be read, or is not XML.
    """
    try:
        return parse(path.read_text(encoding="utf-8"), path)
    except OSError as error:
        raise KdmarlError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except UnicodeDecodeError:
        raise KdmarlError(f"{path}: is not text in UTF-8; give an SDF, URDF or xacro file") from None


def read_world(path: Path) -> Element:
    """The world of an SDF file.

    Raises:
        KdmarlError: the file cannot be read, has no world, or takes something from the network.
    """
    root = read(path)
    refuse_network(root, path)
    world = root.find("world") if root.tag == "sdf" else None
    if world is None:
        raise KdmarlError(f"{path}: is not an SDF file with a <world>; name the file of a world")
    return world


def parse(text: str, path: Path) -> Element:
    """The root of XML ``text`` that is of the file at ``path``.

    Raises:
        KdmarlError: it is not XML.
    """
    for prefix, name in NAMESPACES.items():  # Gazebo takes them for granted
        if f"{prefix}:" in text and f"xmlns:{prefix}" not in text:
            text = re.sub("<(sdf|robot)(?=[ >])", rf'<\1 xmlns:{prefix}="{name}"', text, count=1)
    if "<!DOCTYPE" in text:  # with entities, which may grow without end
        raise KdmarlError(f"{path}: has a DOCTYPE, which files for Gazebo have not; take it out")
    try:
        return ElementTree.fromstring(text)  # noqa: S314
    except ElementTree.ParseError as error:
        raise KdmarlError(f"{path}: is not XML: {error}; correct it") from None


def expand(path: Path, arguments: dict[str, str]) -> str:
    """The text that xacro makes of a file.

    Raises:
        KdmarlError: xacro is not installed, or refuses the file.
    """
    command = shutil.which("xacro") or shutil.which(Path(sys.executable).with_name("xacro"))
    if command is None:
        raise KdmarlError(
            f"{path}: needs xacro, which is not installed; apt install ros-$ROS_DISTRO-xacro, or pip install "
            "'kdmarl_ros[gazebo]'"
        )
    try:
        made = subprocess.run(
            [command, str(path), *(f"{name}:={value}" for name, value in arguments.items())],
            capture_output=True, text=True, timeout=XACRO_TIMEOUT,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise KdmarlError(f"{path}: xacro took longer than {XACRO_TIMEOUT:g} s; check the file") from None
    if made.returncode:
        said = [line.strip() for line in made.stderr.splitlines() if line.strip()]
        raise KdmarlError(f"{path}: xacro refuses it: {said[0] if said else made.returncode}; correct it")
    return made.stdout


def resource_folders() -> list[str]:
    """Folders of models by their names: those of the environment, of ROS packages, and what these export."""
    named = [part for variable in RESOURCE_PATHS for part in os.environ.get(variable, "").split(":") if part]
    shares = [f"{prefix}/share" for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(":") if prefix]
    return list(dict.fromkeys([*named, *shares, *exports("gazebo_model_path"), *exports("gazebo_media_path")]))


def exports(attribute: str) -> list[str]:
    """What ROS packages export for Gazebo in their ``package.xml``, as ``<gazebo_ros gazebo_model_path="…"/>``."""
    return list(_exports(attribute, os.environ.get("AMENT_PREFIX_PATH", "")))


@cache
def _exports(attribute: str, prefixes: str) -> tuple[str, ...]:
    found: list[str] = []
    for prefix in filter(None, prefixes.split(":")):
        for package in sorted(Path(prefix).glob("share/*/package.xml")):
            text = package.read_text(encoding="utf-8", errors="replace")
            for value in re.findall(rf'<gazebo_ros[^>]*\s{attribute}="([^"]*)"', text):
                found += value.replace("${prefix}", str(package.parent)).split(":")
    return tuple(found)


def is_true(value: str | None) -> bool:
    """As SDF writes booleans."""
    return (value or "").strip().lower() in ("1", "true")


def refuse_network(root: Element, path: Path) -> None:
    """See that nothing in an SDF or URDF would be fetched from the network.

    Raises:
        KdmarlError: something would.
    """
    for uri in _uris(root):
        if re.match("https?://", uri):
            raise KdmarlError(
                f"{path}: takes {uri} from the network; download it (gz fuel download -u {uri}) and name the local copy"
            )


def _uris(root: Element) -> Iterator[str]:
    for each in root.iter():
        if each.tag == "uri" and each.text:
            yield each.text.strip()
        if name := each.get("filename"):
            yield name


def root_uris(root: Element, folder: Path) -> None:
    """Make relative names of files absolute, as a copy of the text lies in another folder than ``folder``."""
    for each in root.iter():
        if each.tag in ("uri", "albedo_map", "normal_map") and each.text:
            each.text = _absolute(each.text.strip(), folder)
        if each.tag in ("mesh", "texture") and (name := each.get("filename")):
            each.set("filename", _absolute(name, folder))


def _absolute(name: str, folder: Path) -> str:
    relative = not (re.match("[a-z]+://", name) or name.startswith(("/", "__")))
    return str((folder / name).resolve()) if relative and (folder / name).exists() else name


def included(uri: str, path: Path, folder: Path) -> Path:
    """The SDF file that ``<include>`` in the file at ``path`` means.

    Args:
        uri: that it names.
        path: of the file.
        folder: of the world; :mod:`launch/gazebo.launch.py` names it to Gazebo, too.

    Raises:
        KdmarlError: it is not found.
    """
    _, has_scheme, name = uri.rpartition("://")
    name = name if has_scheme else uri
    for place in [*resource_folders(), str(folder)]:
        found = Path(place) / name
        if found.is_file():
            return found
        if found.is_dir():
            return _model_file(found)
    raise KdmarlError(
        f"{path}: includes {uri}, which is neither in the folders of GZ_SIM_RESOURCE_PATH nor in {folder}; add the "
        "folder of it there"
    )


def _model_file(folder: Path) -> Path:
    """The newest SDF file that a model's folder names."""
    config = folder / "model.config"
    files = [each for each in read(config).findall("sdf") if each.text] if config.is_file() else []
    newest = max(files, key=lambda each: _version(each.get("version")), default=None)
    return folder / (newest.text.strip() if newest is not None and newest.text else "model.sdf")


def _version(text: str | None) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text or ""))
