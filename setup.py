"""Package description, for pip and for colcon (ament_python)."""

import re
from pathlib import Path

from setuptools import find_packages, setup

PACKAGE = "kdmarl_ros"
SHARED = ("launch", "config", "models")


def version() -> str:
    """Version, as written in ``kdmarl_core/__init__.py``."""
    text = Path("kdmarl_core/__init__.py").read_text(encoding="utf-8")
    return re.search(r'__version__ = "(.+)"', text).group(1)


def shared_files() -> list[tuple[str, list[str]]]:
    """Files of ``SHARED`` by the share folder they go to; the folders keep their places to each other.

    Swarm files name robot types and policies by relative paths, which must hold after installation too.
    """
    folders = sorted(folder for top in SHARED for folder in (Path(top), *Path(top).rglob("*")) if folder.is_dir())
    return [
        (f"share/{PACKAGE}/{folder.as_posix()}", files)
        for folder in folders
        if (files := sorted(path.as_posix() for path in folder.iterdir() if _is_shared(path)))
    ]


def _is_shared(path: Path) -> bool:
    return path.is_file() and path.suffix != ".pyc" and not path.name.startswith(".")


ROS = [
    "ros-rclpy[fastrtps]",
    "ros-diagnostic-msgs",
    "ros-geometry-msgs",
    "ros-lifecycle-msgs",
    "ros-nav-msgs",
    "ros-rosgraph-msgs",
    "ros-sensor-msgs",
    "ros-std-srvs",
    "ros-visualization-msgs",
]
SIM = [
    # MuJoCo is pinned because contacts change between releases; 4.0 has no wheels for Python 3.10
    "mujoco==4.0.*; python_version >= '3.11'",
    "mujoco==3.17.*; python_version < '3.11'",
    "matplotlib>=3.6",
]
TRAIN = [
    "torch>=2.3",
    "numba>=0.60",
    "onnx>=1.16",
    "onnxscript>=0.1",
    "safetensors>=0.4",
    "filelock>=3.12",
    "jinja2>=3.1",
    "tensorboard>=2.14",
    "matplotlib>=3.6",
    "scipy>=1.15",
    # the benchmark that results are compared on; 1.1 has views that do not see everything
    "mpe2==1.1.*",
    "pettingzoo>=1.24.3",
    "gymnasium>=1.0",
]
RECORD = ["mcap>=1.2", "rosbags>=0.10"]
GAZEBO = ["xacro>=2.0"]
SMAX = [
    # jaxmarl and jax have no version for Python 3.10
    "jaxmarl==0.2.*; python_version >= '3.11'",
    "jax>=0.4.25; python_version >= '3.11'",
]
DEV = [
    # colcon builds ament_python packages by setup.py commands that setuptools 80 dropped
    "setuptools<80",
    "colcon-common-extensions",
    "hypothesis",
    "import-linter",
    "mypy",
    "pytest",
    "pytest-timeout",
    "ruff",
    # a library whose models are taken as experts; examples/stable_baselines3
    "stable-baselines3",
    "types-PyYAML",
]

setup(
    name=PACKAGE,
    version=version(),
    description="Runs small policies, distilled from a coordinated multi-robot expert, one ROS 2 node per robot",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["kdmarl_core*", "kdmarl_ros*"]),
    package_data={"kdmarl_core.benchmark": ["templates/*.j2"], "kdmarl_core.cli": ["templates/*/*"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
        *shared_files(),
    ],
    install_requires=[
        "numpy>=1.24",
        "msgspec>=0.18",
        "onnxruntime>=1.18",
        "PyYAML>=6.0",
        "rich>=13.0",
        "typer>=0.12",
    ],
    extras_require={
        "ros": ROS,
        "sim": SIM,
        "record": RECORD,
        "gazebo": GAZEBO,
        "train": TRAIN,
        "smax": SMAX,
        "dev": DEV,
    },
    entry_points={
        "console_scripts": [
            "kdmarl = kdmarl_core.cli:main",
            "kdmarl-swarm = kdmarl_ros.swarm_cli:main",
            "neighbors_node = kdmarl_ros.robot.neighbors_node:command",
            "policy_node = kdmarl_ros.robot.policy_node:command",
            "policy_host = kdmarl_ros.robot.policy_host:command",
            "simulator_node = kdmarl_ros.sim.simulator_node:command",
            "gazebo_node = kdmarl_ros.sim.gazebo_node:command",
            "recorder_node = kdmarl_ros.record.recorder_node:command",
            "judge_node = kdmarl_ros.judge.judge_node:command",
        ]
    },
    zip_safe=True,
)
