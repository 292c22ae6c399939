"""What is recorded of a swarm: what robots sense, where they are and are to go, what they are commanded and report."""

from __future__ import annotations

from typing import NamedTuple

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseArray, PoseStamped, PoseWithCovarianceStamped, Twist, TwistStamped
from nav_msgs.msg import Odometry

from kdmarl_core.contract import Swarm, Term
from kdmarl_core.runtime.policy import read_manifest
from kdmarl_ros.robot.inputs import required_topics
from kdmarl_ros.swarm.plan import remappings

ALWAYS: dict[str, tuple[type, ...]] = {
    "odom": (Odometry,),
    "pose": (PoseWithCovarianceStamped,),
    "goal_pose": (PoseStamped,),
    "targets": (PoseArray,),
    "cmd_vel": (Twist, TwistStamped),
}
"""Topics of every robot, whatever its policy needs → types that they may have."""


class Wanted(NamedTuple):
    """A topic to record."""

    robot: str
    """name; empty for topics of all"""
    topic: str
    """as the robot's node calls it"""
    kinds: tuple[type, ...]
    """types that it may have"""


def wanted(swarm: Swarm, terms: list[Term] | None = None) -> dict[str, Wanted]:
    """Full name, after remapping → what it is.

    Args:
        swarm: its robots.
        terms: of their policies, where these are not the swarm file's.

    Raises:
        KdmarlError: a policy file cannot be read.
    """
    found = {"/diagnostics": Wanted("", "diagnostics", (DiagnosticArray,))}
    renamed = dict(remappings(swarm, swarm.robots))
    for robot in swarm.robots:
        needed = required_topics(
            terms or read_manifest(swarm.policies[robot.type]).observation, swarm.robot_type(robot).sensors
        )
        for topic, kinds in {**{name: (kind,) for name, kind in needed.items()}, **ALWAYS}.items():
            name = f"/{robot.name}/{topic}"
            found[renamed.get(name, name)] = Wanted(robot.name, topic, kinds)
    return found
