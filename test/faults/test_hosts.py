"""Robots on hosts of their own: one is cut off, another loses packets, and nobody else notices."""

import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest

from faults.lan import lan, missing
from loopback import LOOPBACK
from node_process import DOMAIN
from support import REPOSITORY

REASON = missing()
START, CUT, AFTER = 12.0, 10.0, 8.0
"""Until all drive, cut off, and after that [s]."""
PERIOD, TIMEOUT = 0.1, 0.5
SENSORS = ["scan", "odom"]
BODIES = {
    "calm": {"calm": SENSORS, "led": ["odom"]},
    "lonely": {"lonely": SENSORS, "led": ["scan"]},
    "lossy": {"lossy": SENSORS},
}
NODES = {"calm": ["calm"], "lonely": ["lonely", "led"], "lossy": ["lossy"]}


def start(net, host):
    """What host.py tells later."""
    arguments = [str(START + CUT + AFTER), json.dumps(BODIES[host]), json.dumps(NODES[host])]
    environment = {
        **{name: value for name, value in os.environ.items() if name not in LOOPBACK},
        "ROS_DOMAIN_ID": str(DOMAIN),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET",
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "test")]),
    }
    command = [*net.command(host), sys.executable, str(REPOSITORY / "test/faults/host.py"), *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def between(times, first, last):
    return [at for at in times if first <= at < last]


@pytest.mark.skipif(bool(REASON), reason=REASON)
def test_a_lost_host_and_lost_packets_change_nothing_for_the_others():
    with lan(list(BODIES)) as net:
        net.drop("lossy", 20)
        assert net.lost("lossy")
        processes = {host: start(net, host) for host in BODIES}
        time.sleep(START)
        net.cut("lonely")
        cut = time.monotonic()
        time.sleep(CUT)
        net.join("lonely")
        joined = time.monotonic()
        reports = {host: json.loads(process.communicate(timeout=60)[0]) for host, process in processes.items()}
    for host in BODIES:  # the robots with all of their sensors on board
        driven = reports[host]["driven"][host]
        before, during = between(driven, cut - 3, cut), between(driven, cut, joined)
        assert len(before) / 3 == pytest.approx(1 / PERIOD, rel=0.1), host
        assert len(during) / (joined - cut) == pytest.approx(1 / PERIOD, rel=0.05), host
        assert not reports[host]["stops"][host], host
        assert np.percentile(np.diff(during), 95) < 1.5 * PERIOD, host
    # The robot that has its odometry from another host stands within its timeout, and drives on when that is back.
    led, stops = reports["lonely"]["driven"]["led"], reports["lonely"]["stops"]["led"]
    assert between(led, cut - 3, cut)
    assert min(stops) - cut < TIMEOUT + 1.5 * PERIOD + 0.1
    assert not between(led, cut + 1, joined)
    assert between(led, joined, joined + AFTER)
    # That they were one network: others' diagnostics were heard, and not while the cable was out.
    heard = reports["calm"]["heard"]["lonely"]
    assert between(heard, cut - 5, cut)
    assert not between(heard, cut + 1, joined)
    assert between(reports["calm"]["heard"]["lossy"], cut, joined)
