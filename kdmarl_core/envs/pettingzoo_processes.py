"""Copies of a PettingZoo environment in several processes, of which this one is the first.

Gymnasium's ``AsyncVectorEnv`` is for environments of one agent, SuperSuit's ``concat_vec_envs`` for agents whose spaces
are equal. Both start processes by forking, which the threads of torch and numba do not survive, or by importing the
user's script again in each.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing import Pipe
from typing import Any, NoReturn

import msgspec
import numpy as np
from pettingzoo import ParallelEnv

from kdmarl_core.contract import KdmarlError
from kdmarl_core.envs.pettingzoo_copies import Choices, Copies, Moment, Recipe
from kdmarl_core.envs.pettingzoo_worker import GRACE, Act, Failed, Make, Request, Reset, decode_reply, encode, failure
from kdmarl_core.errors import naming

START = 120.0
"""[s]; how much later than this process the others may have made their copies"""
_RUN = "import sys; sys.path[:] = sys.argv[2:]; from kdmarl_core.envs.pettingzoo_worker import main; main()"
"""Starts a worker that imports from where its parent does."""


def cores() -> int:
    """How many this process may use."""
    allowed = getattr(os, "sched_getaffinity", None)  # macOS has none
    return len(allowed(0)) if allowed else os.cpu_count() or 1


class OneProcess(Copies):
    """All B copies of an environment in this process; what they raise is reported as :class:`Processes` does.

    Args:
        make: makes one copy.
        num_envs: B.
    """

    def __init__(self, make: Callable[[], Any], num_envs: int) -> None:
        super().__init__()
        self.make(make, range(num_envs))
        self.where = f"task.env: {make.env_name}" if isinstance(make, Recipe) else _named(self.made[0])
        """begins the sentence of an error"""

    def reset(self, seeds: Mapping[int, int]) -> dict[int, Moment]:
        """See :meth:`Copies.reset`.

        Raises:
            KdmarlError: a copy raises, or its first observations do not fit.
        """
        with naming(self.where), _reported(self, "its reset"):
            return super().reset(seeds)

    def step(self, choices: Mapping[int, Choices]) -> dict[int, Moment]:
        """See :meth:`Copies.step`.

        Raises:
            KdmarlError: a copy raises.
        """
        with naming(self.where), _reported(self, "its step"):
            return super().step(choices)


class Processes:
    """All B copies of an environment, shared out evenly; to be used as :class:`Copies` is.

    The other processes end with this object, with :meth:`close`, with this process however it ends, and when anything
    fails, after which the object is of no more use.

    Args:
        recipe: of the environment.
        num_envs: B.
        processes: that step them, at most B; this one steps the first copies.

    Raises:
        KdmarlError: a copy cannot be made, a process ends or is not ready in time, or arguments are not plain data.
    """

    def __init__(self, recipe: Recipe, num_envs: int, processes: int) -> None:
        own, *others = (part.tolist() for part in np.array_split(np.arange(num_envs), processes))
        self._own, self._workers = Copies(), list[_Worker]()
        self.where = f"task.env: {recipe.env_name}"
        """begins the sentence of an error"""
        self._end = weakref.finalize(self, _end, self._workers)
        with self._ending_where_it_fails():
            _refuse_what_changes(recipe)
            for numbers in others:
                self._workers.append(_Worker(numbers))
                self._workers[-1].send(Make(recipe, numbers))
            with _reported(self._own, "making it"):
                self._own.make(recipe, own)
            deadline = time.monotonic() + START
            for worker in self._workers:
                worker.wait_until(deadline)
                worker.receive()

    @property
    def made(self) -> dict[int, Any]:
        """Number → copy, of those in this process."""
        return self._own.made

    def reset(self, seeds: Mapping[int, int]) -> dict[int, Moment]:
        """See :meth:`Copies.reset`.

        Raises:
            KdmarlError: a copy raises, or a process has ended.
        """
        return self._all(seeds, self._own.reset, Reset, "its reset")

    def step(self, choices: Mapping[int, Choices]) -> dict[int, Moment]:
        """See :meth:`Copies.step`; errors as :meth:`reset`."""
        return self._all(choices, self._own.step, Act, "its step")

    def close(self) -> None:
        """Close all copies and end the other processes."""
        self._end()
        self._own.close()

    def _all(
        self,
        given: Mapping[int, Any],
        own: Callable[[dict[int, Any]], dict[int, Moment]],
        request: Callable[[dict[int, Any]], Request],
        doing: str,
    ) -> dict[int, Moment]:
        """What the copies give that ``given`` names, each process at its own."""
        with self._ending_where_it_fails():
            if not self._end.alive:
                raise KdmarlError("its processes have ended; make the environment again")
            busy = []
            for worker in self._workers:
                if share := _share(given, worker.numbers):
                    worker.send(request(share))
                    busy.append(worker)
            with _reported(self._own, doing):
                moments = own(_share(given, self._own.made))
            for worker in busy:
                moments |= worker.receive()
        return moments

    @contextmanager
    def _ending_where_it_fails(self) -> Iterator[None]:
        """After an error or an interrupt some answers are still under way, and would be taken for later ones."""
        try:
            with naming(self.where):
                yield
        except BaseException:
            self._end()
            raise


class _Worker:
    """A process, and the numbers of its copies."""

    def __init__(self, numbers: list[int]) -> None:
        self.numbers = numbers
        several = len(numbers) > 1
        self._named = f"copies {numbers[0]} to {numbers[-1]}" if several else f"copy {numbers[0]}"
        self._whose = "their" if several else "its"
        self._connection, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _RUN, str(theirs.fileno()), *map(str, sys.path)],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYGAME_HIDE_SUPPORT_PROMPT": "1"},  # it has greeted here, if it is used
                start_new_session=True,  # an interrupt from the keyboard is its parent's to obey
            )

    def send(self, request: Request) -> None:
        """Send one request.

        Raises:
            KdmarlError: the process has ended.
        """
        try:
            self._connection.send_bytes(encode(request))
        except OSError:
            self._report_end()

    def receive(self) -> dict[int, Moment]:
        """Wait for the answer.

        Raises:
            KdmarlError: the process has ended, or a copy raised.
        """
        try:
            reply = decode_reply(self._connection.recv_bytes())
        except (EOFError, OSError):
            self._report_end()
        if isinstance(reply, Failed):
            _report(reply)
        return reply.moments

    def wait_until(self, deadline: float) -> None:
        """Wait for an answer until ``deadline``, of ``time.monotonic()``.

        Raises:
            KdmarlError: there is none.
        """
        if not self._connection.poll(max(0.0, deadline - time.monotonic())):
            self._process.kill()
            raise KdmarlError(
                f"{self._named}: not made {START:g} s after those of the first process; see what the environment waits "
                "for where it runs a second time, such as a port, a file or a display, or set task.processes to 1"
            )

    def close(self) -> None:
        """Let the process end."""
        self._connection.close()

    def wait(self) -> None:
        """Wait until it has."""
        try:
            self._process.wait(GRACE + 1.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _report_end(self) -> NoReturn:
        self._connection.close()
        self.wait()
        code = self._process.returncode
        how = f"was ended by {_signal(-code)}" if code < 0 else f"has ended with exit code {code}"
        raise KdmarlError(
            f"{self._named}: {self._whose} process {how}; if memory ran out, lower task.processes or the number "
            "of copies, else set task.processes to 1 to see the fault in this process"
        )


def _end(workers: list[_Worker]) -> None:
    for worker in workers:
        worker.close()
    for worker in workers:
        worker.wait()
    workers.clear()


def _share(given: Mapping[int, Any], numbers: Mapping[int, Any] | list[int]) -> dict[int, Any]:
    return {number: given[number] for number in numbers if number in given}


@contextmanager
def _reported(copies: Copies, doing: str) -> Iterator[None]:
    """Report what a copy in this process raises as that of another would be."""
    try:
        yield
    except Exception as error:
        _report(failure(copies.at, doing, error), error)


def _report(failed: Failed, cause: Exception | None = None) -> NoReturn:
    print(failed.traceback, end="", file=sys.stderr, flush=True)
    raise KdmarlError(failed.sentence) from cause


def _named(env: Any) -> str:
    """An environment that was given as an object, in a word."""
    return str(env) if isinstance(env, ParallelEnv) else type(env).__name__


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # of real time
        return f"signal {number}"


def _refuse_what_changes(recipe: Recipe) -> None:
    """Refuse arguments that would reach another process as something else."""
    try:
        arrives = msgspec.msgpack.decode(encode(Make(recipe, [])))["recipe"]["arguments"]
    except (TypeError, ValueError, OverflowError, RecursionError):
        arrives = None
    if repr(arrives) != repr(recipe.arguments):
        raise KdmarlError(
            f"arguments are {recipe.arguments!r}, and other processes can be given numbers, texts, true and false, "
            "lists and mappings only; write them so, or set task.processes to 1"
        )
