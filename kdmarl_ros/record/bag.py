"""Recordings: MCAP files, as rosbag2 and Foxglove read and write them, and folders of rosbag2, which are read only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from kdmarl_core.contract import KdmarlError
from kdmarl_ros.record.definitions import definition

PROFILE = "ros2"


def library(name: str) -> Any:
    """A module that only recordings need.

    Raises:
        KdmarlError: it is not installed.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise KdmarlError(f"{error.name} is not installed; pip install 'kdmarl_ros[record]'") from None


class BagWriter:
    """Writes serialised messages."""

    def __init__(self, file: Any) -> None:
        """Into an open binary ``file``."""
        self._writer: Any = library("mcap.writer").Writer(file)
        self._writer.start(profile=PROFILE, library="kdmarl")
        self._channels: dict[tuple[str, str], int] = {}
        self._schemas: dict[str, int] = {}

    def add(self, topic: str, kind: str, data: bytes, time: int) -> None:
        """Add a message of type ``kind``, such as ``sensor_msgs/msg/LaserScan``, that came at ``time`` [ns]."""
        if (topic, kind) not in self._channels:
            if kind not in self._schemas:
                text = definition(kind).encode()
                self._schemas[kind] = self._writer.register_schema(name=kind, encoding="ros2msg", data=text)
            self._channels[topic, kind] = self._writer.register_channel(
                topic=topic, message_encoding="cdr", schema_id=self._schemas[kind]
            )
        self._writer.add_message(channel_id=self._channels[topic, kind], log_time=time, data=data, publish_time=time)

    def close(self) -> None:
        """Write what readers find messages by."""
        self._writer.finish()


class Recorded(NamedTuple):
    """A message of a recording."""

    topic: str
    kind: str
    """such as ``sensor_msgs/msg/LaserScan``"""
    data: bytes
    time: int
    """[ns]"""


@contextmanager
def writing(path: Path) -> Iterator[BagWriter]:
    """Write a recording to ``path``.

    Raises:
        KdmarlError: it cannot be written, or ``mcap`` is not installed.
    """
    library("mcap.writer")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            writer = BagWriter(file)
            try:
                yield writer
            finally:
                writer.close()
    except FileExistsError:
        raise KdmarlError(
            f"{path} already exists; nothing is written over a recording, so choose another file"
        ) from None
    except OSError as error:
        raise KdmarlError(f"{path} cannot be written: {error.strerror}; choose another file") from None


def read(path: Path) -> Iterator[Recorded]:
    """The messages of a recording in the order in which they came.

    Args:
        path: an MCAP file, or a folder that rosbag2 has written, in MCAP or SQLite.

    Raises:
        KdmarlError: it cannot be read, or holds something else than ROS 2 messages.
    """
    if path.suffix == ".bag":
        raise KdmarlError(f"{path} is a recording of ROS 1; convert it: rosbags-convert --src {path} --dst FOLDER")
    if path.suffix == ".db3":
        raise KdmarlError(f"{path} is a part of a recording of rosbag2; name its folder, {path.parent}")
    return _of_folder(path) if path.is_dir() else _of_file(path)


def _of_folder(path: Path) -> Iterator[Recorded]:
    rosbag2, sqlite = library("rosbags.rosbag2"), library("apsw").Error
    try:
        with rosbag2.Reader(path) as reader:
            for connection, time, data in reader.messages():
                _require_cdr(path, connection.topic, connection.ext.serialization_format)
                yield Recorded(connection.topic, connection.msgtype, bytes(data), time)
    except (rosbag2.ReaderError, sqlite, OSError) as error:
        raise KdmarlError(
            f"{path} is not a recording that can be read ({error}); give an MCAP file, or a folder of rosbag2 with its "
            "metadata.yaml ('ros2 bag reindex' makes that)"
        ) from None


def _of_file(path: Path) -> Iterator[Recorded]:
    reader, damaged = library("mcap.reader"), library("mcap.exceptions").McapError
    try:
        with path.open("rb") as file:
            for schema, channel, message in reader.make_reader(file).iter_messages():
                _require_cdr(path, channel.topic, channel.message_encoding + ("" if schema else " without a schema"))
                yield Recorded(channel.topic, schema.name, message.data, message.log_time)
    except OSError as error:
        raise KdmarlError(f"{path} cannot be read: {error.strerror}; give an MCAP file") from None
    except damaged as error:
        raise KdmarlError(
            f"{path} is not a complete MCAP file ({error}); give one, or repair it with 'mcap recover'"
        ) from None


def _require_cdr(path: Path, topic: str, encoding: str) -> None:
    """See that messages are ROS 2's.

    Raises:
        KdmarlError: they are not.
    """
    if encoding != "cdr":
        raise KdmarlError(f"{path}: {topic} is encoded as '{encoding}', not cdr; record it from ROS 2")
