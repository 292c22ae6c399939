"""A process that steps some copies of an environment for :mod:`kdmarl_core.envs.pettingzoo_processes`.

It answers each message with one, until the other end is closed, be it that its parent has ended. Messages are
MessagePack without anything that is code: the environment is imported by its name.
"""

from __future__ import annotations

import os
import select
import sys
import threading
import time
import traceback
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

import msgspec
import numpy as np

from kdmarl_core.contract import KdmarlError
from kdmarl_core.envs.pettingzoo_copies import Copies, Moment, Recipe

GRACE = 5.0
"""[s]; longest time for a last step and for closing the copies, when the parent has closed its end"""


class Make(msgspec.Struct, tag=True):
    """Make copies."""

    recipe: Recipe
    numbers: list[int]


class Reset(msgspec.Struct, tag=True):
    """Begin episodes."""

    seeds: dict[int, int]


class Act(msgspec.Struct, tag=True):
    """Step copies."""

    choices: dict[int, dict[str, Any]]
    """a choice of numbers is the bytes of a float32 (A,)"""


class Done(msgspec.Struct, tag=True):
    """What the copies gave; nothing when they were made."""

    moments: dict[int, Moment]


class Failed(msgspec.Struct, tag=True):
    """A copy raised."""

    sentence: str
    """names the copy and the remedy"""
    traceback: str
    """to be shown before the sentence; empty where that says all"""


Request = Make | Reset | Act
Reply = Done | Failed
_requests = msgspec.msgpack.Decoder(Request)
_replies = msgspec.msgpack.Decoder(Reply, dec_hook=lambda _, given: np.frombuffer(given, np.float32))


def encode(message: Request | Reply) -> bytes:
    """A message as it is sent.

    Raises:
        TypeError: something in it is not plain data, nor an array.
    """
    return _encoder.encode(message)


def decode_reply(data: bytes) -> Reply:
    """What a worker answers."""
    return _replies.decode(data)


def failure(number: int, doing: str, error: BaseException) -> Failed:
    """What is said of an error of a copy, such as ``doing`` "its step"."""
    if isinstance(error, KdmarlError):
        return Failed(f"copy {number}: {error}", "")
    what = traceback.format_exception_only(type(error), error)[-1].strip()
    whole = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    return Failed(f"copy {number}: {doing} raises {what}; fix the environment, see the traceback above", whole)


def main() -> None:
    """Serve the connection whose file descriptor is the first argument."""
    descriptor = int(sys.argv[1])
    del sys.argv[1:]
    os.set_inheritable(descriptor, False)
    threading.Thread(target=_end_with_parent, args=(descriptor,), daemon=True).start()
    connection, copies = Connection(descriptor), Copies()
    try:
        while True:
            connection.send_bytes(_answer(copies, connection.recv_bytes()))
    except (EOFError, OSError):  # the other end is closed
        with suppress(Exception):
            copies.close()


def _answer(copies: Copies, data: bytes) -> bytes:
    """The reply to one request."""
    request = _requests.decode(data)
    doing = "making it" if isinstance(request, Make) else "its reset" if isinstance(request, Reset) else "its step"
    try:
        if isinstance(request, Make):
            copies.make(request.recipe, request.numbers)
            return encode(Done({}))
        if isinstance(request, Reset):
            return encode(Done(copies.reset(request.seeds)))
        choices = {number: _choices(chosen) for number, chosen in request.choices.items()}
        return encode(Done(copies.step(choices)))
    except BaseException as error:  # also of sys.exit(): whatever a copy raises is the parent's to report
        return encode(failure(copies.at, doing, error))


def _choices(chosen: dict[str, Any]) -> dict[str, Any]:
    """Choices as an environment has them; it may write into the arrays."""
    return {
        agent: np.frombuffer(choice, np.float32).copy() if isinstance(choice, bytes) else choice
        for agent, choice in chosen.items()
    }


def _end_with_parent(descriptor: int) -> None:
    """End this process some time after the other end was closed, whatever a copy is doing."""
    other_end = select.poll()
    other_end.register(descriptor, 0)  # nothing but that it is closed
    other_end.poll()
    time.sleep(GRACE)
    os._exit(1)


def _plain(value: Any) -> bytes:
    """Arrays as their bytes."""
    if isinstance(value, np.ndarray):
        return value.tobytes()
    raise TypeError(f"{type(value).__name__} is not plain data")


_encoder = msgspec.msgpack.Encoder(enc_hook=_plain)
