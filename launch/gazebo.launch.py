"""Start Gazebo Sim with the world of a swarm file, the bridge to its topics, and put in the robots one after another.

swarm.launch.py includes it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    OpaqueFunction,
    RegisterEventHandler,
    Shutdown,
)
from launch.event_handlers import OnProcessExit
from launch.events.process import ProcessExited
from launch_ros.actions import Node

from kdmarl_core.contract import KdmarlError
from kdmarl_core.gazebo.files import Files, write
from kdmarl_core.gazebo.sdf import exports, resource_folders
from kdmarl_core.gazebo.service import begin, is_running, missing, tool, wait_for
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
    for package in ("ros_gz_sim", "ros_gz_bridge"):
        _require(package, distribution)
    swarm = load_checked_swarm(given["swarm"], names_of(given["robots"]), given["allow_outside"] == "true")
    folder = Path(tempfile.mkdtemp(prefix="kdmarl_gazebo_"))
    factor, seed = number("real_time_factor", given["real_time_factor"], float), number("seed", given["seed"], int)
    check_numbers(factor, seed)
    own = swarm.gazebo.running if swarm.gazebo else None
    others = clock_publishers()
    if others and not own:
        raise KdmarlError(
            f"/clock is published by {', '.join(others)} already, and sim 'gazebo' brings a clock of its own; stop "
            "that, or set another ROS_DOMAIN_ID"
        )
    if others:
        print(f"/clock is that of {', '.join(others)}")
    files = write(swarm, folder, release, Lidars(given["lidars"]), factor, clock=None if others else FULL_CLOCK)
    _check_running(files, release)
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
    server = ExecuteProcess(
        # Not by ros_gz_sim's launch file: it starts a shell, which ends without Gazebo (ros2/launch, issue 757).
        cmd=[tool(release), *release.server(str(files.world), seed, given["headless"] == "true")],
        name="gazebo",
        output="screen",
        additional_env=_folders(files.world, release),
        on_exit=_ended,
    )
    return [server, bridge, *robots]


def _folders(world: Path, release: Release) -> dict[str, str]:
    """Where Gazebo finds models and systems, as ros_gz_sim's launch file tells it; and the folder of the world."""
    systems = release.variable("SYSTEM_PLUGIN_PATH")
    given = [os.environ.get(systems, ""), os.environ.get("LD_LIBRARY_PATH", ""), *exports("plugin_path")]
    return {
        release.variable("RESOURCE_PATH"): ":".join([*resource_folders(), str(world.parent)]),
        systems: ":".join(filter(None, given)),
    }


def _check_running(files: Files, release: Release) -> None:
    """A world that robots are put into runs without them, and one that is started does not yet."""
    runs = is_running(release, files.world_name)
    if files.world and runs:
        raise KdmarlError(
            f"a world '{files.world_name}' runs in Gazebo already, perhaps from an earlier launch; end it, set another "
            "GZ_PARTITION, or put the robots into it (world: {running: ...})"
        )
    if files.world is None and not runs:
        raise KdmarlError(f"no Gazebo runs a world '{files.world_name}'; start it first, with the same GZ_PARTITION")
    topics = {spawn.robot: spawn.truth for spawn in files.spawns}
    left = missing(release, list(topics.values())) if runs else topics.values()
    if there := [robot for robot, topic in topics.items() if topic not in left]:
        raise KdmarlError(
            f"Gazebo's world '{files.world_name}' has {', '.join(there)} already, perhaps from an earlier launch; "
            "remove them, or restart Gazebo"
        )


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
    last = partial(_last, files, release)
    handlers = [
        RegisterEventHandler(OnProcessExit(target_action=step, on_exit=partial(_go_on, spawn.robot, then, last)))
        for step, spawn, then in zip(steps, files.spawns, [*steps[1:], None], strict=True)
    ]
    return [*handlers, steps[0]]


def _last(files: Files, release: Release) -> None:
    wait_for(release, {spawn.robot: spawn.truth for spawn in files.spawns})
    if files.world:
        begin(release, files.world_name)


def _go_on(
    robot: str, then: Node | None, last: Callable[[], None], event: ProcessExited, context: LaunchContext
) -> list[LaunchDescriptionEntity]:
    """Put in the next robot, or do what comes last."""
    if context.is_shutdown:
        return []
    message = f"robot '{robot}' was not put into the world (exit code {event.returncode}); see what Gazebo says above"
    if event.returncode == 0:
        if then:
            return [then]
        try:
            last()
            return []
        except KdmarlError as error:
            message = str(error)
    return [_fail(message, context)]


def _ended(event: ProcessExited, context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Gazebo's end before that of the launch is a failure, however well the robots did until then."""
    if context.is_shutdown:
        return []
    return [_fail(f"Gazebo has ended (exit code {event.returncode}); see what it says above", context)]


def _fail(message: str, context: LaunchContext) -> Shutdown:
    # As launch itself reports errors; an exception raised here is lost if another event arrives at the same moment.
    context.asyncio_loop.call_exception_handler({"message": message})
    return Shutdown(reason=message)


def _require(package: str, distribution: str | None) -> None:
    try:
        get_package_share_directory(package)
    except (PackageNotFoundError, OSError):  # the latter without any ROS environment
        raise KdmarlError(
            f"sim 'gazebo' needs {package}, which is not installed; apt install ros-{distribution or '$ROS_DISTRO'}-"
            "ros-gz, or leave sim out: MuJoCo works without"
        ) from None
