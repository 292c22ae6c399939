"""What happens to processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from launch.actions import ExecuteProcess


class ProcessExited:
    """A process has ended."""

    def __init__(
        self,
        *,
        returncode: int,
        action: ExecuteProcess,
        name: str,
        cmd: list[str],
        cwd: str | None,
        env: dict[str, str] | None,
        pid: int,
    ) -> None:
        self.returncode = returncode
        self.action = action
