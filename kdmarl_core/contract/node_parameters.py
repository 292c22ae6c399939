"""Parameters of policy nodes in a swarm file: of all robots, of a robot type, of one robot."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, UnsetType

Timeout = Annotated[float, msgspec.Meta(ge=0.05, le=10)]
Stamped = bool | Literal["auto"]
Trigger = Literal["timer", "sensor"]
PoseSource = Literal["odom", "pose", "tf"]

TRUTH = "ground_truth"
"""Topic on which simulators say where a robot is whose odometry does not."""


class NodeParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Parameters of a robot type or of one robot; for those left out, the :class:`Defaults` of all robots hold."""

    sensor_timeout: Timeout | UnsetType = UNSET
    stamped_commands: Stamped | UnsetType = UNSET
    scan_guard: bool | UnsetType | None = UNSET
    trigger: Trigger | UnsetType = UNSET
    pose_source: PoseSource | UnsetType = UNSET
    autostart: bool | UnsetType = UNSET
    frame_prefix: str | UnsetType | None = UNSET
    remappings: dict[str, str] = {}


class Defaults(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Parameters of every robot's policy node."""

    sensor_timeout: Timeout = 0.5
    """age at which an input stops the robot [s]"""
    stamped_commands: Stamped = "auto"
    """publish TwistStamped instead of Twist; auto: as is subscribed to"""
    scan_guard: bool | None = None
    """stop short of what the robot's own sensors see; None: unless they drive in a simulated arena of the swarm file"""
    trigger: Trigger = "timer"
    """what starts a control cycle: the clock, or a sensor's new message"""
    pose_source: PoseSource = "odom"
    """where the robot is: its odometry in the frame of the goals, a localisation's topic ``pose``, or tf"""
    autostart: bool = True
    """drive as soon as the node runs; False leaves its lifecycle to somebody else, such as Nav2's lifecycle manager"""
    frame_prefix: str | None = None
    """what the names of the robot's frames begin with in our simulators; None: its name and /"""
    remappings: dict[str, str] = {}
    """topic of the node, such as ``odom`` → topic to use instead, in the robot's namespace unless it begins with /;
    /tf → tf and /tf_static → tf_static for robots that publish tf in their namespaces"""

    def changed(self, by: NodeParameters) -> Defaults:
        """These with what is set in ``by``; remappings are added."""
        values = {name: value for name in by.__struct_fields__ if (value := getattr(by, name)) is not UNSET}
        return msgspec.structs.replace(self, **values | {"remappings": self.remappings | by.remappings})
