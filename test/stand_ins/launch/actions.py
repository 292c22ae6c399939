"""Actions of launch descriptions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypedDict

from launch import LaunchContext, LaunchDescriptionEntity
from launch.event_handlers import BaseEventHandler, SomeEntities
from launch.launch_description_sources import PythonLaunchDescriptionSource

if TYPE_CHECKING:
    from typing_extensions import Unpack  # typing has it from Python 3.11 on


class Action(LaunchDescriptionEntity):
    """Something to do."""

    def execute(self, context: LaunchContext) -> list[LaunchDescriptionEntity] | None:
        """Do it; what it gives is launched next."""
        return None


class DeclareLaunchArgument(Action):
    """An argument of the launch file."""

    def __init__(
        self,
        name: str,
        *,
        default_value: str | None = None,
        description: str | None = None,
        choices: list[str] | None = None,
    ) -> None:
        self.name = name
        self.default_value = default_value
        self.description = description
        self.choices = choices

    def execute(self, context: LaunchContext) -> None:
        """Fill in the default.

        Raises:
            RuntimeError: there is no value, or it is not one of the choices.
        """
        if self.default_value is not None:
            context.launch_configurations.setdefault(self.name, self.default_value)
        value = context.launch_configurations.get(self.name)
        if value is None or (self.choices is not None and value not in self.choices):
            raise RuntimeError(f"argument {self.name}: {value} is none of {self.choices}")


class OpaqueFunction(Action):
    """Calls ``function`` with the context."""

    def __init__(
        self,
        *,
        function: Callable[..., list[LaunchDescriptionEntity] | None],
        args: Iterable[Any] | None = None,
        kwargs: dict[str, Any] | None = None,
    ) -> None:
        self._function = function
        self._args = args or ()
        self._kwargs = kwargs or {}

    def execute(self, context: LaunchContext) -> list[LaunchDescriptionEntity] | None:
        """Call it."""
        return self._function(context, *self._args, **self._kwargs)


class IncludeLaunchDescription(Action):
    """Launches what another launch file describes, with some of its arguments set."""

    def __init__(
        self,
        launch_description_source: PythonLaunchDescriptionSource,
        *,
        launch_arguments: Iterable[tuple[str, str]] | None = None,
    ) -> None:
        self.source = launch_description_source
        self.arguments = dict(launch_arguments or ())


class RegisterEventHandler(Action):
    """Handles events from now on."""

    def __init__(self, event_handler: BaseEventHandler) -> None:
        self.event_handler = event_handler


class Shutdown(Action):
    """Ends everything."""

    def __init__(self, *, reason: str = "reason not given") -> None:
        self.reason = reason


class ProcessOptions(TypedDict, total=False):
    """Options of any action that runs a process."""

    additional_env: dict[str, str]
    sigterm_timeout: str
    sigkill_timeout: str
    output: str
    respawn: bool
    respawn_delay: float
    respawn_max_retries: int


class ExecuteProcess(Action):
    """Runs a command."""

    def __init__(
        self,
        *,
        cmd: Iterable[str],
        name: str | None = None,
        on_exit: SomeEntities | Callable[..., SomeEntities | None] | None = None,
        **kwargs: Unpack[ProcessOptions],
    ) -> None:
        self.cmd = list(cmd)
        self.name = name
        self.on_exit = on_exit
        self.options = kwargs
