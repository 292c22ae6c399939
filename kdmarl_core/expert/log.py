"""What both stages show and write while they run."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from kdmarl_core.contract.writing import writing

METRICS = "metrics.jsonl"


def progress_bar() -> Progress:
    """A progress bar whose tasks have a field ``figures`` for a short status text."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}"),
    )


class MetricsLog:
    """``metrics.jsonl`` in ``folder``, one JSON object per line; the first ``kept`` lines of an earlier run are kept.

    Raises:
        KdmarlError: the folder or the file cannot be written.
    """

    def __init__(self, folder: Path, kept: int) -> None:
        self.path = folder / METRICS
        with writing(self.path):
            folder.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab+") as file:
                file.seek(0)
                # Truncated in place: a full disk has no room for a copy.
                file.truncate(sum(len(line) for line in file.readlines()[:kept]))

    def append(self, row: dict[str, float]) -> None:
        """Write one line.

        Raises:
            KdmarlError: it cannot be written.
        """
        with writing(self.path), self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")


class TensorBoardLog:
    """A new TensorBoard file in ``folder`` that supersedes the data of earlier ones from step ``start`` on.

    The usual writers run in their own thread, where a full disk ends in a traceback.

    Raises:
        KdmarlError: the file cannot be written.
    """

    def __init__(self, folder: Path, start: int) -> None:
        self.path = folder / f"events.out.tfevents.{time.time():.0f}.{socket.gethostname()}.{os.getpid()}"
        self._write(Event(file_version="brain.Event:2"))
        self._write(Event(step=start, session_log=SessionLog(status=SessionLog.START)))

    def append(self, row: dict[str, float], step: int) -> None:
        """Write one value for each tag.

        Raises:
            KdmarlError: they cannot be written.
        """
        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in row.items()]
        self._write(Event(step=step, summary=Summary(value=values)))

    def _write(self, event: Event) -> None:
        event.wall_time = time.time()
        with writing(self.path), self.path.open("ab") as file:
            RecordWriter(file).write(event.SerializeToString())
