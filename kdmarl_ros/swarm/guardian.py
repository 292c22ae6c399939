"""Outlives the runner of a swarm by a moment: if the runner dies, the robots are stopped all the same.

The guardian leads the process group that the runner starts everything in, and waits at a pipe whose other end
only the runner holds. The end of the pipe is the end of the runner, however it came. Run as a script, without
site packages, so that it starts at once.
"""

import contextlib
import os
import signal
import sys
import time

GRACE = 3.0
"""From the request to stop to the end of everything that has not [s]."""


def main() -> None:
    """Wait for the runner's end; then stop what it left behind."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if sys.stdin.buffer.read():
        return  # the runner has ended everything itself
    _signal_group(signal.SIGINT)
    time.sleep(GRACE)
    _signal_group(signal.SIGKILL)


def _signal_group(number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(0, number)


if __name__ == "__main__":
    main()
