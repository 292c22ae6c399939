"""Run one robot of a swarm file, on that robot's own computer: its policy node, nothing else."""

from __future__ import annotations

from pathlib import Path

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource

from kdmarl_core.contract import KdmarlError
from kdmarl_ros.swarm.options import Simulator

SWARM = Path(__file__).resolve().parent / "swarm.launch.py"


def generate_launch_description() -> LaunchDescription:
    """Declare the launch arguments."""
    return LaunchDescription(
        [
            DeclareLaunchArgument("robot", description="name of the robot in the swarm file"),
            DeclareLaunchArgument("swarm", description="swarm file, the same on all robots"),
            DeclareLaunchArgument(
                "sim",
                default_value=Simulator.NONE.value,
                choices=[Simulator.NONE.value, Simulator.EXTERNAL.value],
                description="none for a real robot, external for a simulator elsewhere that publishes /clock",
            ),
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
    name = given["robot"].strip()
    if not name or "," in name:
        raise KdmarlError(f"robot is '{given['robot']}'; give the name of one robot of {given['swarm']}")
    arguments = {"robots": name, **{key: given[key] for key in ("swarm", "sim", "allow_outside")}}
    source = PythonLaunchDescriptionSource(str(SWARM))
    return [IncludeLaunchDescription(source, launch_arguments=arguments.items())]
