"""Stand-in for ROS 2's ``launch``, which is not on PyPI: the classes that our launch file uses, with their signatures.

Used by mypy to check the launch file, and by its tests. Nothing here starts a process.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Iterable


class LaunchDescriptionEntity:
    """What a launch description consists of."""


class LaunchContext:
    """What is known while launching."""

    def __init__(self, *, argv: Iterable[str] | None = None, noninteractive: bool = False) -> None:
        self.launch_configurations: dict[str, str] = {}
        """the arguments' values"""
        self.asyncio_loop: AbstractEventLoop
        """runs by the time events are handled"""
        self.is_shutdown = False
        """whether all is to end"""


class LaunchDescription(LaunchDescriptionEntity):
    """What to launch."""

    def __init__(
        self,
        initial_entities: Iterable[LaunchDescriptionEntity] | None = None,
        *,
        deprecated_reason: str | None = None,
    ) -> None:
        self.entities = list(initial_entities or ())
