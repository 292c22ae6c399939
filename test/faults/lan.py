"""Several hosts on one machine: network namespaces joined by a bridge, with network faults between them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

SWITCH = f"kdmarl_lan_{os.getpid()}"
"""Namespace with the bridge, of this process alone; hosts are named after it."""


class Lan:
    """Hosts that are up; see :func:`lan`."""

    def __init__(self, hosts: Sequence[str]) -> None:
        self.hosts = tuple(hosts)

    def command(self, host: str) -> list[str]:
        """What goes before a command to run it on ``host``."""
        return ["ip", "netns", "exec", _namespace(host)]

    def cut(self, host: str) -> None:
        """Pull the cable of ``host`` out of the switch."""
        _run(f"ip -n {SWITCH} link set {host} down")

    def join(self, host: str) -> None:
        """Put it back."""
        _run(f"ip -n {SWITCH} link set {host} up")

    def drop(self, host: str, percent: int) -> None:
        """Drop this percentage of the packets to and from ``host``."""
        rules = f"numgen random mod 100 < {percent} drop"
        for hook in ("input", "output"):
            chain = f"{{ type filter hook {hook} priority 0; }}"
            _nft(host, f"add table inet loss; add chain inet loss {hook} {chain}")
            _nft(host, f"add rule inet loss {hook} {'iifname' if hook == 'input' else 'oifname'} eth0 {rules}")

    def lost(self, host: str) -> bool:
        """Whether rules for dropping packets are in force on ``host``."""
        found = subprocess.run([*self.command(host), "nft", "list", "ruleset"], capture_output=True, text=True)
        return "numgen" in found.stdout


def missing() -> str:
    """Why such hosts are not possible here; empty if they are."""
    if lacking := [tool for tool in ("ip", "nft") if not shutil.which(tool)]:
        return f"{' and '.join(lacking)} not installed (iproute2, nftables)"
    probe = f"{SWITCH}_probe"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True)
    if made.returncode:
        return f"network namespaces are not permitted: {made.stderr.strip()}"
    _run(f"ip netns del {probe}")
    return ""


@contextmanager
def lan(hosts: Sequence[str]) -> Iterator[Lan]:
    """Bring ``hosts`` up on one bridge; they are removed in the end."""
    _clear(hosts)
    try:
        _run(f"ip netns add {SWITCH}")
        _run(f"ip -n {SWITCH} link add name bridge type bridge mcast_snooping 0")
        _run(f"ip -n {SWITCH} link set bridge up")
        for number, host in enumerate(hosts, 1):
            _run(f"ip netns add {_namespace(host)}")
            _run(f"ip -n {SWITCH} link add {host} type veth peer name eth0 netns {_namespace(host)}")
            _run(f"ip -n {SWITCH} link set {host} master bridge up")
            _run(f"ip -n {_namespace(host)} addr add 10.77.0.{number}/24 dev eth0")
            for device in ("lo", "eth0"):
                _run(f"ip -n {_namespace(host)} link set {device} up")
        yield Lan(hosts)
    finally:
        _clear(hosts)


def _clear(hosts: Sequence[str]) -> None:
    for name in (*map(_namespace, hosts), SWITCH):
        subprocess.run(["ip", "netns", "del", name], capture_output=True)


def _namespace(host: str) -> str:
    return f"{SWITCH}_{host}"


def _run(command: str) -> None:
    subprocess.run(command.split(), check=True, capture_output=True)


def _nft(host: str, rules: str) -> None:
    subprocess.run(["ip", "netns", "exec", _namespace(host), "nft", rules], check=True, capture_output=True)
