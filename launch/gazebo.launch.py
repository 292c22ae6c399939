"""Start Gazebo Sim with the world of a swarm file, and the bridge to its topics; swarm.launch.py includes it."""

from __future__ import annotations

import os
import shlex
import tempfile
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import Node

from kdmarl_core.contract import KdmarlError
from kdmarl_core.gazebo.files import BRIDGE, WORLD, write
from kdmarl_core.gazebo.versions import RELEASES, Lidars, release_of
from kdmarl_ros.swarm.arguments import check_numbers, names_of, number
from kdmarl_ros.swarm.plan import load_checked_swarm


def generate_launch_description() -> LaunchDescription:
    """Declare the launch arguments; files are written when their values are known."""
    return LaunchDescription(
        [
            DeclareLaunchArgument("swarm", description="swarm file"),
            DeclareLaunchArgument("robots", default_value="", description="names of robots, separated by commas"),
            DeclareLaunchArgument(
                "headless", default_value="true", choices=["true", "false"], description="without Gazebo's window"
            ),
            DeclareLaunchArgument(
                "gz_version",
                default_value="auto",
                choices=["auto", *RELEASES],
                description="release of Gazebo Sim; auto: that of the ROS distribution",
            ),
            DeclareLaunchArgument(
                "lidars",
                default_value=Lidars.RENDERING.value,
                choices=[lidars.value for lidars in Lidars],
                description="rendering: by the graphics engine; physics: by a release that has the system CpuLidar",
            ),
            DeclareLaunchArgument("real_time_factor", default_value="1.0", description="simulated over real time"),
            DeclareLaunchArgument("seed", default_value="0", description="seed of the simulated sensors' noise"),
            DeclareLaunchArgument(
                "allow_outside", default_value="false", choices=["true", "false"], description="as of swarm.launch.py"
            ),
            OpaqueFunction(function=_start),
        ]
    )


def _start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    given = context.launch_configurations
    distribution = os.environ.get("ROS_DISTRO")
    release = RELEASES[release_of(distribution) if given["gz_version"] == "auto" else given["gz_version"]]
    server = Path(_share("ros_gz_sim", distribution)) / "launch" / "gz_sim.launch.py"
    _share("ros_gz_bridge", distribution)
    swarm = load_checked_swarm(given["swarm"], names_of(given["robots"]), given["allow_outside"] == "true")
    folder = Path(tempfile.mkdtemp(prefix="kdmarl_gazebo_"))
    factor, seed = number("real_time_factor", given["real_time_factor"], float), number("seed", given["seed"], int)
    check_numbers(factor, seed)
    write(swarm, folder, release, Lidars(given["lidars"]), factor)
    window = "-s " if given["headless"] == "true" else ""
    options = f"-r -v 2 --seed {seed} {window}{shlex.quote(str(folder / WORLD))}"  # goes through a shell
    arguments = {"gz_args": options, "gz_version": str(release.major), "on_exit_shutdown": "true"}
    return [
        IncludeLaunchDescription(PythonLaunchDescriptionSource(str(server)), launch_arguments=arguments.items()),
        Node(
            package="ros_gz_bridge",
            executable="parameter_bridge",
            exec_name="bridge",
            name="bridge",
            namespace="/",
            parameters=[{"config_file": str(folder / BRIDGE)}],
            output="screen",
        ),
    ]


def _share(package: str, distribution: str | None) -> str:
    try:
        return get_package_share_directory(package)
    except (PackageNotFoundError, OSError):  # the latter without any ROS environment
        raise KdmarlError(
            f"sim 'gazebo' needs {package}, which is not installed; apt install ros-{distribution or '$ROS_DISTRO'}-"
            "ros-gz, or leave sim out: MuJoCo works without"
        ) from None
