"""What the package says of itself agrees with itself and with the code."""

import ast
import importlib
import re
import sys
import xml.etree.ElementTree as ElementTree

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import kdmarl_core
from kdmarl_ros.swarm.plan import MODULES
from support import REPOSITORY

NAMES = {
    "yaml": "pyyaml",
    "rcl_interfaces": "ros-rclpy",
    "builtin_interfaces": "ros-rclpy",
    "std_msgs": "ros-sensor-msgs",
}
"""Imported modules whose requirement has another name, or comes with another one."""
ROBOT = ("kdmarl_core/contract", "kdmarl_core/judge", "kdmarl_core/mujoco", "kdmarl_core/runtime", "kdmarl_ros")


def required(distribution, *extras):
    """Canonical names of what the package and ``extras`` require."""
    lines = [*distribution.install_requires, *(line for extra in extras for line in distribution.extras_require[extra])]
    return {canonicalize_name(Requirement(line).name) for line in lines}


def imported(*folders):
    """Requirement names of all modules that the code in ``folders`` imports, without the standard library's."""
    found = set()
    for path in (path for folder in folders for path in (REPOSITORY / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add(node.module.partition(".")[0])
    found -= {"kdmarl_core", "kdmarl_ros", *sys.stdlib_module_names}
    ros = {name for name in found if name.endswith("_msgs") or name.endswith("_srvs") or name == "rclpy"}
    return {
        NAMES.get(name, f"ros-{canonicalize_name(name)}" if name in ros else canonicalize_name(name)) for name in found
    }


def test_versions_agree(distribution):
    declared = ElementTree.parse(REPOSITORY / "package.xml").findtext("version")
    assert distribution.get_version() == declared == kdmarl_core.__version__
    assert f"[Unreleased] {declared}" in (REPOSITORY / "CHANGELOG.md").read_text()


def test_a_robot_requires_what_it_imports_and_no_torch(distribution):
    assert imported(*ROBOT) <= required(distribution, "ros", "sim")
    assert "torch" not in required(distribution, "ros", "sim")


def test_training_requires_what_it_imports(distribution):
    rooms = [path for path in (REPOSITORY / "kdmarl_core").iterdir() if path.name not in ("judge", "mujoco")]
    assert imported(*rooms) <= required(distribution, "train", "smax")


def test_every_requirement_is_imported_here_or_by_torch_or_rclpy(distribution):
    unused = required(distribution, "ros", "sim", "train", "smax") - imported("kdmarl_core", "kdmarl_ros")
    assert unused <= {"onnxscript", "tensorboard", "ros-lifecycle-msgs"}


def test_package_xml_depends_on_the_ros_packages_that_are_imported(distribution):
    declared = {node.text for node in ElementTree.parse(REPOSITORY / "package.xml").findall("exec_depend")}
    for name in required(distribution, "ros"):
        if name.startswith("ros-"):
            assert name.removeprefix("ros-").replace("-", "_") in declared


def test_every_requirement_has_a_tested_version(distribution):
    lines = (REPOSITORY / "constraints.txt").read_text().splitlines()
    pinned = {canonicalize_name(Requirement(line).name) for line in lines if re.match(r"\w", line)}
    assert required(distribution, "ros", "sim", "train", "smax", "dev") <= pinned


def test_console_scripts_exist(distribution):
    for line in distribution.entry_points["console_scripts"]:
        module, function = line.partition(" = ")[2].split(":")
        assert callable(getattr(importlib.import_module(module), function)), line


def test_a_plan_knows_the_module_of_every_node(distribution):
    scripts = dict(re.split(r"\s*=\s*", line) for line in distribution.entry_points["console_scripts"])
    nodes = {name: target.partition(":")[0] for name, target in scripts.items() if name.endswith(("_node", "_host"))}
    del nodes["neighbors_node"]  # is started by hand
    assert nodes == MODULES


def test_make_runs_the_tests_of_every_folder():
    text = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    parts = " ".join(re.findall(r"^PART_[123] = (.*)$", text, re.MULTILINE))
    named = {word.removeprefix("test/").removeprefix("ros/") for word in re.findall(r"[\w/]+", parts)}
    folders = {path.parent.name for path in (REPOSITORY / "test" / "ros").glob("*/test_*.py")}
    assert folders <= named
