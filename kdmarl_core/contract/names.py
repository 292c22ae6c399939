"""Names of robots: each is the ROS 2 namespace of its robot, without the slash in front."""

from __future__ import annotations

import re

from kdmarl_core.errors import KdmarlError

MAX_NAMESPACE = 244
"""Characters that ROS 2 allows in a namespace, the slash in front not counted."""
MAX_NAME = 213
"""Characters of a robot's name: ROS 2 allows 247 in ``/<name>/policy/get_available_transitions``, its longest topic."""

_NAMESPACE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*")


def is_namespace(name: str) -> bool:
    """Whether ROS 2 accepts ``/<name>`` as a namespace."""
    return len(name) <= MAX_NAMESPACE and _NAMESPACE.fullmatch(name) is not None


def check_name(name: str) -> None:
    """See that a robot can have this name.

    Robots may be told apart by case alone, and one name may begin another, as ``a`` and ``a/scan``: what a robot
    publishes is one word behind its name, and its node's services are two, so that no two robots share a topic.

    Raises:
        KdmarlError: it is not a namespace, or too long for what stands behind it.
    """
    if len(name) > MAX_NAME:
        raise KdmarlError(
            f"name '{name[:20]}…' has {len(name)} characters; give at most {MAX_NAME}, which ROS's limit for topics "
            "leaves"
        )
    if not is_namespace(name):
        raise KdmarlError(
            f"name '{name}' cannot be a ROS namespace; use letters, digits and _, parts joined by single / and none "
            "beginning with a digit"
        )
