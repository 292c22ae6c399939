"""What is done when something happens."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from launch import LaunchContext, LaunchDescriptionEntity
from launch.events.process import ProcessExited

if TYPE_CHECKING:
    from launch.actions import ExecuteProcess

SomeEntities = LaunchDescriptionEntity | Iterable[LaunchDescriptionEntity]


class BaseEventHandler:
    """Handles events of one kind."""


class OnProcessExit(BaseEventHandler):
    """Handles the end of ``target_action``, or of every process if it is None."""

    def __init__(
        self,
        *,
        target_action: Callable[[ExecuteProcess], bool] | ExecuteProcess | None = None,
        on_exit: SomeEntities | Callable[[ProcessExited, LaunchContext], SomeEntities | None],
    ) -> None:
        self.target_action = target_action
        self.on_exit = on_exit

    def handle(self, event: ProcessExited, context: LaunchContext) -> SomeEntities | None:
        """What to do now."""
        return self.on_exit(event, context) if callable(self.on_exit) else self.on_exit
