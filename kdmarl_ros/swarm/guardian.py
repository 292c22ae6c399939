"""Outlives the runner of a swarm: if the runner dies, the robots are stopped nevertheless.

The guardian leads the process group in which the runner starts everything, and reads from a pipe whose other end
only the runner holds. The pipe closes when the runner ends, for whatever reason. Run as a script, without site
packages, so that it starts at once.
"""

import contextlib
import os
import signal
import sys
import time

GRACE = 3.0
"""From the request to stop until remaining processes are killed [s]."""


def main() -> None:
    """Wait for the runner's end; then stop the processes that it left behind."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if sys.stdin.buffer.read():
        return  # the runner has stopped everything itself
    _signal_group(signal.SIGINT)
    time.sleep(GRACE)
    _signal_group(signal.SIGKILL)


def _signal_group(number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(0, number)


if __name__ == "__main__":
    main()
