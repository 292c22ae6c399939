"""Start Gazebo Sim with the world of a swarm file, the bridge to its topics, and put in the robots one after another.

swarm.launch.py includes it.
"""

from __future__ import annotations

import os
import shlex
import tempfile
from functools import partial
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
    Shutdown,
)
from launch.event_handlers import OnProcessExit
from launch.events.process import ProcessExited
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import Node

from kdmarl_core.contract import KdmarlError
from kdmarl_core.gazebo.files import Files, write
from kdmarl_core.gazebo.topics import FULL_CLOCK
from kdmarl_core.gazebo.versions import RELEASES, Lidars, Release, release_of
from kdmarl_ros.node.clocks import clock_publishers
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
    share = Path(_share("ros_gz_sim", distribution))
    _share("ros_gz_bridge", distribution)
    swarm = load_checked_swarm(given["swarm"], names_of(given["robots"]), given["allow_outside"] == "true")
    folder = Path(tempfile.mkdtemp(prefix="kdmarl_gazebo_"))
    factor, seed = number("real_time_factor", given["real_time_factor"], float), number("seed", given["seed"], int)
    check_numbers(factor, seed)
    is_running = swarm.gazebo is not None and swarm.gazebo.running is not None
    others = clock_publishers()
    if others and not is_running:
        raise KdmarlError(
            f"/clock is published by {', '.join(others)} already, and sim 'gazebo' brings a clock of its own; stop "
            "that, or set another ROS_DOMAIN_ID"
        )
    files = write(swarm, folder, release, Lidars(given["lidars"]), factor, clock=None if others else FULL_CLOCK)
    bridge = Node(
        package="ros_gz_bridge",
        executable="parameter_bridge",
        exec_name="bridge",
        name="bridge",
        namespace="/",
        parameters=[{"config_file": str(files.bridge)}],
        output="screen",
    )
    robots = _robots(files, release)
    if files.world is None:
        return [bridge, *robots]
    window = "-s " if given["headless"] == "true" else ""
    options = f"-v 2 --seed {seed} {window}{shlex.quote(str(files.world))}"  # goes through a shell; begins paused
    arguments = {"gz_args": options, "gz_version": str(release.major), "on_exit_shutdown": "true"}
    source = PythonLaunchDescriptionSource(str(share / "launch" / "gz_sim.launch.py"))
    return [IncludeLaunchDescription(source, launch_arguments=arguments.items()), bridge, *robots]


def _robots(files: Files, release: Release) -> list[LaunchDescriptionEntity]:
    """What puts the robots into the world, each after the one before; time begins when all are there."""
    steps = [
        Node(
            package="ros_gz_sim",
            executable="create",
            exec_name=f"create.{spawn.robot.replace('/', '.')}",
            arguments=spawn.arguments,
            output="screen",
        )
        for spawn in files.spawns
    ]
    if files.world:
        steps.append(ExecuteProcess(cmd=release.begin(files.world_name), name="begin", output="screen"))
    names = [f"robot '{spawn.robot}' was not put into the world" for spawn in files.spawns] + ["time did not begin"]
    handlers = [
        RegisterEventHandler(OnProcessExit(target_action=step, on_exit=partial(_next, then, failure)))
        for step, then, failure in zip(steps, [*steps[1:], None], names, strict=False)
    ]
    return [*handlers, steps[0]]


def _next(
    then: LaunchDescriptionEntity | None, failure: str, event: ProcessExited, context: LaunchContext
) -> list[LaunchDescriptionEntity]:
    if context.is_shutdown:
        return []
    if event.returncode == 0:
        return [then] if then else []
    message = f"{failure} (exit code {event.returncode}); see what Gazebo says above"
    # As launch itself reports errors; an exception raised here is lost if another event arrives at the same moment.
    context.asyncio_loop.call_exception_handler({"message": message})
    return [Shutdown(reason=message)]


def _share(package: str, distribution: str | None) -> str:
    try:
        return get_package_share_directory(package)
    except (PackageNotFoundError, OSError):  # the latter without any ROS environment
        raise KdmarlError(
            f"sim 'gazebo' needs {package}, which is not installed; apt install ros-{distribution or '$ROS_DISTRO'}-"
            "ros-gz, or leave sim out: MuJoCo works without"
        ) from None
