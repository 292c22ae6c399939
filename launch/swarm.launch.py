"""Run a swarm: a simulator, one node for each robot, and a judge when a duration or an output is given."""

from __future__ import annotations

from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, List  # noqa: UP035

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import (
    DeclareLaunchArgument,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
    Shutdown,
)
from launch.event_handlers import OnProcessExit
from launch.events.process import ProcessExited
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from kdmarl_ros.robot.inputs import check_remappings
from kdmarl_ros.swarm.arguments import names_of, number
from kdmarl_ros.swarm.options import Processes, Simulator
from kdmarl_ros.swarm.plan import PACKAGE, Process, load_checked_swarm, make_plan

SHARE = Path(__file__).resolve().parent.parent
RESPAWN_DELAY = 0.5
"""From the death of a process to its next start [s]."""
MAX_RESPAWNS = 5
"""A robot or simulator that dies once more than this stays down."""
SIGTERM_DELAY, SIGKILL_DELAY = "3.0", "1.5"
"""For processes that have not exited: from SIGINT to SIGTERM, from there to SIGKILL [s]."""


def generate_launch_description() -> LaunchDescription:
    """Declare the launch arguments; processes are planned when their values are known."""
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "swarm", default_value=str(SHARE / "config" / "swarms" / "crossing.yaml"), description="swarm file"
            ),
            DeclareLaunchArgument(
                "sim",
                default_value=Simulator.MUJOCO.value,
                choices=[simulator.value for simulator in Simulator],
                description="simulator: mujoco (built in), gazebo in a world made from the swarm file, external for "
                "another one that publishes /clock, none for real robots. With any simulator, all nodes use simulated "
                "time",
            ),
            DeclareLaunchArgument(
                "processes",
                default_value=Processes.ROBOT.value,
                choices=[processes.value for processes in Processes],
                description="one process for each robot, or one for all robots of this host",
            ),
            DeclareLaunchArgument(
                "robots", default_value="", description="names of the robots to run, separated by commas; all if empty"
            ),
            DeclareLaunchArgument(
                "real_time_factor",
                default_value="1.0",
                description="simulated over real time; 0 is as fast as possible",
            ),
            DeclareLaunchArgument(
                "duration",
                default_value="0.0",
                description="judge the run for this many seconds, then shut down (exit code 1 if it misses the swarm "
                "file's bars); 0 runs until Ctrl-C",
            ),
            DeclareLaunchArgument(
                "output",
                default_value="",
                description="directory for summary.json and tracks.png of a judged run; if empty, runs/<name of "
                "the swarm> when there is a duration",
            ),
            DeclareLaunchArgument(
                "lockstep",
                default_value="false",
                choices=["true", "false"],
                description="simulated time waits for the robots' commands",
            ),
            DeclareLaunchArgument(
                "headless",
                default_value="true",
                choices=["true", "false"],
                description="Gazebo without its window",
            ),
            DeclareLaunchArgument(
                "gz_version",
                default_value="auto",
                description="release of Gazebo Sim: fortress, harmonic, ionic or jetty; auto: that of the ROS "
                "distribution",
            ),
            DeclareLaunchArgument(
                "lidars",
                default_value="rendering",
                description="how Gazebo measures distances: rendering, or physics in a release that has CpuLidar",
            ),
            DeclareLaunchArgument("record", default_value="", description="file (.mcap) to record the topics into"),
            DeclareLaunchArgument("seed", default_value="0", description="seed of the simulated sensors' noise"),
            DeclareLaunchArgument(
                "allow_outside",
                default_value="false",
                choices=["true", "false"],
                description="allow the swarm file to refer to files outside its project's folder",
            ),
            OpaqueFunction(function=_start),
        ]
    )


def _start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    given = context.launch_configurations
    swarm = load_checked_swarm(given["swarm"], names_of(given["robots"]), given["allow_outside"] == "true")
    check_remappings(swarm)
    plan = make_plan(
        swarm,
        simulator=Simulator(given["sim"]),
        processes=Processes(given["processes"]),
        real_time_factor=number("real_time_factor", given["real_time_factor"], float),
        lockstep=given["lockstep"] == "true",
        seed=number("seed", given["seed"], int),
        duration=number("duration", given["duration"], float),
        output=given["output"] or None,
        record=given["record"] or None,
    )
    actions = [action for process in plan for action in _actions(process)]
    return [*_gazebo(given), *actions] if given["sim"] == Simulator.GAZEBO.value else actions


def _gazebo(given: dict[str, str]) -> list[LaunchDescriptionEntity]:
    """Gazebo and its bridge."""
    names = ("swarm", "robots", "headless", "gz_version", "lidars", "real_time_factor", "seed", "allow_outside")
    source = PythonLaunchDescriptionSource(str(Path(__file__).with_name("gazebo.launch.py")))
    return [IncludeLaunchDescription(source, launch_arguments=[(name, given[name]) for name in names])]


def _actions(process: Process) -> list[LaunchDescriptionEntity]:
    node = Node(
        package=PACKAGE,
        executable=process.executable,
        exec_name=process.name.strip("/").replace("/", "."),  # launch may use it as a file name
        **(_several(process) if process.robots else _one(process)),
        remappings=process.remappings,
        respawn=process.respawn,
        respawn_delay=RESPAWN_DELAY,
        respawn_max_retries=MAX_RESPAWNS,
        sigterm_timeout=SIGTERM_DELAY,
        sigkill_timeout=SIGKILL_DELAY,
        output="screen",
        additional_env={"PYTHONUNBUFFERED": "1"},
    )
    if not process.is_judge:
        return [node]
    return [node, RegisterEventHandler(OnProcessExit(target_action=node, on_exit=_end))]


def _one(process: Process) -> dict[str, Any]:
    """Name and parameters of a process with a single node."""
    parameters = {name: _value(value) for name, value in process.parameters.items()}
    return {"name": process.node, "namespace": process.namespace, "parameters": [parameters]}


def _value(value: Any) -> Any:
    """A parameter value; strings are marked as such, else a robot or a type called "On" would arrive as a boolean."""
    if isinstance(value, str):
        return ParameterValue(value, value_type=str)
    if isinstance(value, list) and value and isinstance(value[0], str):
        return ParameterValue(value, value_type=List[str])  # noqa: UP006 - launch does not take list[str] for it
    return value


def _several(process: Process) -> dict[str, Any]:
    """Robots and parameter file of a process with several nodes; like launch's own, the file is not deleted."""
    with NamedTemporaryFile("w", prefix="launch_params_", encoding="utf-8", delete=False) as file:
        file.write(process.parameters_file())
    return {"arguments": list(process.robots), "parameters": [file.name]}


def _end(event: ProcessExited, context: LaunchContext) -> Shutdown:
    """End the launch with the judge, with exit code 1 unless the run reached the bars."""
    if event.returncode == 0:
        return Shutdown(reason="the run reaches the swarm file's bars")
    reason = {1: "the run misses the swarm file's bars", 2: "there was nothing to judge; see the judge's log"}
    message = reason.get(event.returncode, f"the judge ended with exit code {event.returncode}")
    # As launch itself reports errors; an exception raised here is lost if another event arrives at the same moment.
    context.asyncio_loop.call_exception_handler({"message": message})
    return Shutdown(reason=message)
