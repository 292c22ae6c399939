"""A ROS domain that no other process on this machine uses."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from errno import EADDRINUSE

DOMAINS = range(215, 232)
"""Above Linux's ephemeral ports, and above commonly chosen domains."""

_held = ExitStack()
"""Locks on the domains of this process; released when it ends."""


def take_domain() -> int:
    """A domain without nodes, reserved for this test process while it runs.

    Raises:
        RuntimeError: no domain is free.
    """
    for domain in DOMAINS:
        # An abstract socket, which leaves no file; its names hold where ports do: within one network namespace.
        if _bind(socket.AF_UNIX, f"\0kdmarl_test_domain_{domain}", _held) and _is_silent(domain):
            return domain
    raise RuntimeError(f"ROS domains {DOMAINS[0]} to {DOMAINS[-1]} are all in use; end other test runs")


def _is_silent(domain: int) -> bool:
    """Whether no node of ``domain`` runs on this machine.

    Each listens on the domain's first port; with discovery restricted to this machine, the first one on the eleventh.
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
