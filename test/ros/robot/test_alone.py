"""Tests keep to themselves: they see only processes that they have started, and talk in a domain of their own."""

import os
import subprocess
import sys

import domain
from node_process import DOMAIN
from running import descendants
from support import REPOSITORY


def test_only_what_a_test_has_started_is_seen_and_orphans_too(started):
    assert started() == []
    with subprocess.Popen(["sh", "-c", "sleep 60 >&- & echo $!; read _"], stdin=-1, stdout=-1) as shell:
        orphan = int(shell.stdout.readline())
        assert started() == [shell.pid, orphan]
        shell.communicate()
        assert started() == [orphan]
    os.kill(orphan, 9)
    os.waitpid(orphan, 0)  # it is a child of this process now
    assert started() == []
    assert {os.getpid(), os.getppid()}.isdisjoint(descendants())


def elsewhere(program):
    """What ``program`` prints, a process of its own."""
    command = [sys.executable, "-c", program]
    return subprocess.run(command, cwd=REPOSITORY / "test", check=True, capture_output=True, text=True).stdout


def test_another_test_process_takes_another_domain():
    assert int(elsewhere("import domain; print(domain.take_domain())")) in set(domain.DOMAINS) - {DOMAIN}


NODE = """
import domain, socket
free = domain.take_domain()
node = socket.socket(type=socket.SOCK_DGRAM)
node.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
node.bind(("127.0.0.1", 7400 + 250 * (free + 1)))
print(domain.take_domain() - free)
"""


def test_a_domain_with_a_node_is_not_taken():
    assert int(elsewhere(NODE)) > 1
