"""Each robot on a computer of its own: network namespaces of one machine, joined by a bridge.

Needs root and ``ip``; elsewhere it is skipped. Namespaces are named after this process, and removed in the end.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import ExitStack, contextmanager

import pytest

from loopback import LOOPBACK
from node_process import ros_arguments
from sim_support import robot, write_swarm

NAME = f"kd{os.getpid()}"
DOMAIN = 1  # of networks that nobody else is in
ENVIRONMENT = {
    **{key: value for key, value in os.environ.items() if key not in LOOPBACK},
    "ROS_DOMAIN_ID": str(DOMAIN),
    "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET",
    "FASTDDS_BUILTIN_TRANSPORTS": "UDPv4",  # shared memory would go past the network
    "PYTHONUNBUFFERED": "1",
}


def ip(*arguments, check=True):
    return subprocess.run(["ip", *arguments], check=check, capture_output=True, text=True)


def permitted():
    if os.geteuid() or not shutil.which("ip"):
        return False
    made = ip("netns", "add", f"{NAME}x", check=False).returncode == 0
    ip("netns", "delete", f"{NAME}x", check=False)
    return made


pytestmark = pytest.mark.skipif(not permitted(), reason="network namespaces are not permitted here")


@contextmanager
def computers(names):
    """Name → network namespace, each with one cable to a common switch."""
    with ExitStack() as stack:
        switch = f"{NAME}s"
        for namespace in (switch, *(f"{NAME}{index}" for index in range(len(names)))):
            ip("netns", "add", namespace)
            stack.callback(ip, "netns", "delete", namespace, check=False)
        ip("-n", switch, "link", "add", "bridge", "type", "bridge", "mcast_snooping", "0")
        ip("-n", switch, "link", "set", "bridge", "up")
        for index in range(len(names)):
            there = f"{NAME}{index}"
            ip("-n", there, "link", "add", "cable", "type", "veth", "peer", "name", f"port{index}", "netns", switch)
            ip("-n", switch, "link", "set", f"port{index}", "master", "bridge", "up")
            ip("-n", there, "address", "add", f"10.77.0.{index + 1}/24", "dev", "cable")
            for device in ("lo", "cable"):
                ip("-n", there, "link", "set", device, "up")
            ip("-n", there, "route", "add", "224.0.0.0/4", "dev", "cable")
        yield {name: f"{NAME}{index}" for index, name in enumerate(names)}


@contextmanager
def running(namespace, module, arguments, log):
    """A process of ours on one computer, which is interrupted in the end if it still runs."""
    command = ["ip", "netns", "exec", namespace, sys.executable, "-m", f"kdmarl_ros.{module}", *map(str, arguments)]
    with log.open("a") as file:
        process = subprocess.Popen(command, env=ENVIRONMENT, stdout=file, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        end(process)


def end(process):
    """Ctrl-C; whatever is still there 10 s later is killed."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    try:
        return process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def test_robots_on_computers_of_their_own_one_of_which_starts_again(tmp_path):
    robots = [
        robot("a", pose=(-2.5, -1.0, 0.0), goal=(2.5, -1.0)),
        robot("b", pose=(2.5, 0.2, 3.14), goal=(-2.5, 0.2)),
        robot("c", "mini", (-2.5, 1.5, 0.0), goal=(2.5, 1.5)),
    ]
    swarm = write_swarm(tmp_path, robots, world={"size": [8.0, 8.0]})
    names = [one.name for one in robots]
    with computers(["hardware", *names]) as where, ExitStack() as stack:

        def start(name, module, arguments):
            return stack.enter_context(running(where[name], module, arguments, tmp_path / f"{name}.log"))

        shared = {"swarm": swarm, "robots": names, "use_sim_time": True}
        duration = {"duration": 30.0, "output": tmp_path / "out"}
        judge = start("hardware", "judge.judge_node", ros_arguments(shared | duration))
        start("hardware", "sim.simulator_node", ros_arguments(shared | {"use_sim_time": False, "observer": "judge"}))
        nodes = {name: start(name, "swarm_cli", [swarm, "--robots", name, "--sim", "external"]) for name in names}
        with pytest.raises(subprocess.TimeoutExpired):
            judge.wait(8)
        end(nodes["b"])
        with pytest.raises(subprocess.TimeoutExpired):
            judge.wait(2)
        start("b", "swarm_cli", [swarm, "--robots", "b", "--sim", "external"])
        assert judge.wait(60) == 0, (tmp_path / "hardware.log").read_text()
    totals = json.loads((tmp_path / "out" / "summary.json").read_text())["totals"]
    assert totals["goals_reached"] == 3
