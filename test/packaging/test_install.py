"""Installed by the real colcon and the real pip, everything is where ROS and people look for it."""

import configparser
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest

from kdmarl_core.contract import load_swarm
from support import REPOSITORY, write_policy

TEMPLATES = {
    path.relative_to(REPOSITORY).as_posix()
    for room in ("benchmark", "cli")
    for path in (REPOSITORY / "kdmarl_core" / room / "templates").rglob("*.*")
}
EXECUTABLES = {
    "kdmarl", "kdmarl-swarm", "policy_node", "policy_host", "simulator_node", "judge_node", "neighbors_node",
    "gazebo_node", "recorder_node",
}  # fmt: skip
LIST_TEMPLATES = (
    "import kdmarl_core; from pathlib import Path; top = Path(kdmarl_core.__file__).parents[1]; "
    "print(*(path.relative_to(top) for path in top.glob('kdmarl_core/*/templates/**/*.*')))"
)
SHARED = (
    "package.xml",
    "launch/swarm.launch.py",
    "config/robots.yaml",
    "config/swarms/crossing.yaml",
    "models/SHA256SUMS",
    *(f"models/navigation_{robot_type}.onnx" for robot_type in ("scout", "carrier", "mini")),
)


@pytest.fixture
def source(tmp_path):
    """A copy of the repository as git knows it, with policies of the test's own."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
        text=True,
    )
    target = tmp_path / "ws" / "src" / "kdmarl"
    for name in listed.stdout.splitlines():
        if (REPOSITORY / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, target / name)
    for robot_type in ("scout", "carrier", "mini"):
        write_policy(target / "models" / f"navigation_{robot_type}.onnx", robot_type)
    return target


def run(command, cwd, **environment):
    completed = subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert completed.returncode == 0, completed.stdout
    return completed.stdout


@pytest.mark.parametrize("options", [[], ["--symlink-install"]], ids=["copies", "symlinks"])
def test_colcon_build(source, options):
    workspace = source.parents[1]
    run([sys.executable, "-m", "colcon", "build", *options], workspace)
    prefix = workspace / "install" / "kdmarl_ros"

    index = prefix / "share" / "ament_index" / "resource_index" / "packages" / "kdmarl_ros"
    assert index.is_file()
    for name in SHARED:
        assert (prefix / "share" / "kdmarl_ros" / name).is_file(), name
    assert {path.name for path in (prefix / "lib" / "kdmarl_ros").iterdir()} >= EXECUTABLES
    load_swarm(prefix / "share" / "kdmarl_ros" / "config" / "swarms" / "crossing.yaml")

    script = f". {workspace}/install/setup.sh && {prefix}/lib/kdmarl_ros/kdmarl-swarm --help"
    assert "SWARM.yaml" in run(["sh", "-c", script], workspace)
    script = f". {workspace}/install/setup.sh && {sys.executable} -c 'import kdmarl_ros; print(kdmarl_ros.__file__)'"
    assert run(["sh", "-c", script], "/").startswith(str(workspace))
    script = f'. {workspace}/install/setup.sh && {sys.executable} -c "{LIST_TEMPLATES}"'
    assert set(run(["sh", "-c", script], "/").split()) == TEMPLATES


def test_wheel(source, tmp_path):
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    run([*pip, "--wheel-dir", str(tmp_path), "."], source)
    (wheel,) = tmp_path.glob("kdmarl_ros-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (scripts,) = (name for name in names if name.endswith("entry_points.txt"))
        entry_points = configparser.ConfigParser()
        entry_points.read_string(archive.read(scripts).decode())
    assert set(entry_points["console_scripts"]) == EXECUTABLES
    for name in SHARED:
        assert any(path.endswith(f".data/data/share/kdmarl_ros/{name}") for path in names), name
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"kdmarl_core", "kdmarl_ros"}
    shipped = {name for name in names if name.startswith("kdmarl_core/") and not name.endswith(".py")}
    assert shipped == TEMPLATES
    assert not [name for name in names if "/test" in name and name not in TEMPLATES]


def test_source_distribution(source, tmp_path):
    run([sys.executable, "setup.py", "--quiet", "sdist", "--dist-dir", str(tmp_path)], source)
    (packed,) = tmp_path.glob("kdmarl_ros-*.tar.gz")
    with tarfile.open(packed) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert names >= {*TEMPLATES, *SHARED}
