"""Where a robot's parameters say to go first."""

from __future__ import annotations

import math
from collections.abc import Sequence

from geometry_msgs.msg import PoseArray, PoseStamped

from kdmarl_core.contract import KdmarlError, Robot, Swarm
from kdmarl_core.contract.planar import Planar
from kdmarl_ros.node.poses import to_pose
from kdmarl_ros.swarm.plan import destination


def first_orders(
    goal: Sequence[float] | None, targets: Sequence[float] | None, frame: str
) -> dict[str, PoseStamped | PoseArray]:
    """Topic → first message.

    Args:
        goal: x, y [m]; None or empty without one.
        targets: x1, y1, x2, y2, … [m]; None or empty without any.
        frame: of both.

    Raises:
        KdmarlError: a parameter holds no places.
    """
    orders: dict[str, PoseStamped | PoseArray] = {}
    if goal:
        if len(goal) != 2 or not all(map(math.isfinite, goal)):
            raise KdmarlError(f"parameter 'goal' is {list(goal)}; give two finite numbers [x, y] in metres")
        orders["goal_pose"] = PoseStamped(pose=to_pose(Planar(*goal)))
    if targets:
        if len(targets) % 2 or not all(map(math.isfinite, targets)):
            raise KdmarlError(
                f"parameter 'targets' is {list(targets)}; give finite numbers x1, y1, x2, y2, … in metres"
            )
        places = zip(targets[::2], targets[1::2], strict=True)
        orders["targets"] = PoseArray(poses=[to_pose(Planar(*place)) for place in places])
    for order in orders.values():
        order.header.frame_id = frame
    return orders


def first_orders_of(swarm: Swarm, robot: Robot) -> dict[str, PoseStamped | PoseArray]:
    """What a robot's node is started with."""
    places = destination(swarm, robot)
    return first_orders(places.get("goal"), places.get("targets"), swarm.frame)
