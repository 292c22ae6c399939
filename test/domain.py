"""A ROS domain that nobody else on this machine uses."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from errno import EADDRINUSE

DOMAINS = range(215, 232)
"""Above Linux's ephemeral ports, and above what people choose."""

_held = ExitStack()
"""What keeps others from taking the domains of this process; it ends with the process."""


def take_domain() -> int:
    """A domain without a node, which no other test process takes while this one runs.

    Raises:
        RuntimeError: there is none.
    """
    for domain in DOMAINS:
        # An abstract socket, which leaves no file; its names hold where ports do: within one network namespace.
        if _bind(socket.AF_UNIX, f"\0kdmarl_test_domain_{domain}", _held) and _is_silent(domain):
            return domain
    raise RuntimeError(f"ROS domains {DOMAINS[0]} to {DOMAINS[-1]} are all in use; end other test runs")


def _is_silent(domain: int) -> bool:
    """Whether no node of ``domain`` runs on this machine.

    Each listens at the domain's first port; if it may hear this machine alone, the first one listens at the eleventh.
    """
    first = 7400 + 250 * domain
    with ExitStack() as stack:
        return all(_bind(socket.AF_INET, ("", port), stack) for port in (first, first + 10))


def _bind(family: socket.AddressFamily, address: object, stack: ExitStack) -> bool:
    """Bind a socket that ``stack`` closes; False if the address is taken."""
    bound = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
    try:
        bound.bind(address)
    except OSError as error:
        if error.errno != EADDRINUSE:
            raise
        return False
    return True
