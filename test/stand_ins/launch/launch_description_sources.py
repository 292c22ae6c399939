"""Where launch descriptions come from."""

from __future__ import annotations


class PythonLaunchDescriptionSource:
    """A launch file in Python."""

    def __init__(self, launch_file_path: str) -> None:
        self.location = launch_file_path
