"""What both stages show and write while they run."""

from __future__ import annotations

import json
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def progress_bar() -> Progress:
    """A progress bar whose tasks have a field ``figures`` for a few words on how it goes."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}"),
    )


def append_row(path: Path, row: dict[str, float]) -> None:
    """Append one line of JSON."""
    with path.open("a") as file:
        file.write(json.dumps(row) + "\n")
