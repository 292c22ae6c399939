"""Policy nodes under Nav2's lifecycle manager: the service calls that it makes, in its order.

As in nav2_lifecycle_manager of ros-navigation/navigation2, in August 2026, with ``bond_timeout`` 0: for each transition
it waits for the node's ``change_state``, calls it with the transition's number, whatever the answer says, and then asks
``get_state``, which must give the transition's end. It begins with the last node to deactivate, clean up and shut down.
"""

import itertools
import os
import signal
from pathlib import Path

import pytest
from geometry_msgs.msg import Twist
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState

from node_process import Client, module_process
from policy_process import policy_process
from robot_body import RobotBody
from sim_support import robot as robot_of
from sim_support import write_swarm

SERVICE_TIMEOUT = 20.0
"""The manager's parameter; its default is 5 [s]."""
CONFIGURE, ACTIVATE = Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE
DEACTIVATE, CLEANUP = Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP
SHUTDOWN = Transition.TRANSITION_UNCONFIGURED_SHUTDOWN
ENDS = {
    CONFIGURE: State.PRIMARY_STATE_INACTIVE,
    ACTIVATE: State.PRIMARY_STATE_ACTIVE,
    DEACTIVATE: State.PRIMARY_STATE_INACTIVE,
    CLEANUP: State.PRIMARY_STATE_UNCONFIGURED,
    SHUTDOWN: State.PRIMARY_STATE_FINALIZED,
}


NUMBERS = itertools.count(1)


class Manager:
    """Does with ``nodes`` what Nav2's lifecycle manager does."""

    def __init__(self, client, *nodes):
        self.client = client
        self.nodes = nodes
        node = client.node
        self._change = {name: node.create_client(ChangeState, f"{name}/change_state") for name in nodes}
        self._get = {name: node.create_client(GetState, f"{name}/get_state") for name in nodes}

    def _call(self, service, request):
        assert service.wait_for_service(timeout_sec=SERVICE_TIMEOUT)
        future = service.call_async(request)
        assert self.client.until(future.done, SERVICE_TIMEOUT), "the manager would wait for ever"
        return future.result()

    def state(self, name):
        return self._call(self._get[name], GetState.Request()).current_state.id

    def state_of_a_new_process(self, name):
        """As :meth:`state`, asked until answered: for a while, requests still go to a process that was killed."""
        answers = []
        for _ in range(20):
            answers.append(self._get[name].call_async(GetState.Request()))
            if self.client.until(lambda: any(answer.done() for answer in answers), 1.0):
                break
        return next(answer for answer in answers if answer.done()).result().current_state.id

    def change(self, name, transition):
        request = ChangeState.Request()
        request.transition.id = transition
        self._call(self._change[name], request)
        return self.state(name) == ENDS[transition]

    def change_all(self, transition):
        nodes = self.nodes if transition in (CONFIGURE, ACTIVATE) else reversed(self.nodes)
        return all(self.change(name, transition) for name in nodes)

    def startup(self):
        return self.change_all(CONFIGURE) and self.change_all(ACTIVATE)

    def pause(self):
        return self.change_all(DEACTIVATE)

    def resume(self):
        return self.change_all(ACTIVATE)

    def reset(self):
        return self.change_all(DEACTIVATE) and self.change_all(CLEANUP)

    def shutdown(self):
        return [self.change_all(transition) for transition in (DEACTIVATE, CLEANUP, SHUTDOWN)]


@pytest.fixture
def name():
    """A robot's own name in each test: for a while, requests find their way to killed nodes of the same name."""
    return f"n{next(NUMBERS)}"


@pytest.fixture
def body(name):
    body = RobotBody(namespace=f"/{name}")
    yield body
    body.close()


def test_all_that_the_manager_does_with_one_robot(body, name, policy):
    manager = Manager(body, f"/{name}/policy")
    with policy_process(policy, __ns=f"/{name}", autostart=False) as process:
        assert manager.startup()
        assert body.drives()
        for stop, go in ((manager.pause, manager.resume), (manager.reset, manager.startup)):
            assert stop()
            assert body.until(lambda: not any(body.commands[-1][1:]), 2)
            body.spin(0.2)
            count = len(body.commands)
            body.spin(0.5)
            assert len(body.commands) == count
            assert go()
            assert body.drives()
        assert manager.shutdown() == [True] * 3
        assert body.until(lambda: not any(body.commands[-1][1:]), 2)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert body.until(lambda: process.poll() is not None, 5)
        assert process.returncode == 0


def test_shutdown_in_any_state_is_answered(body, name, policy):
    """The manager waits without end for an answer; it goes on whatever that is."""
    manager = Manager(body, f"/{name}/policy")
    with policy_process(policy, __ns=f"/{name}", autostart=False):
        assert manager.startup()
        assert manager.pause()
        assert manager.shutdown() == [True, True, True]
        assert manager.shutdown() == [False, False, True]


def test_a_node_that_starts_by_itself_fails_the_manager(body, name, policy):
    manager = Manager(body, f"/{name}/policy")
    with policy_process(policy, __ns=f"/{name}", autostart=True):
        assert body.drives()
        assert not manager.startup()
        assert manager.state(manager.nodes[0]) == State.PRIMARY_STATE_ACTIVE


def test_a_node_that_cannot_start_fails_the_manager(body, name, tmp_path):
    manager = Manager(body, f"/{name}/policy")
    with policy_process(tmp_path / "gone.onnx", __ns=f"/{name}", autostart=False):
        assert not manager.startup()
        assert manager.state(manager.nodes[0]) == State.PRIMARY_STATE_UNCONFIGURED
        assert body.says("gone.onnx: no such file")


@pytest.mark.parametrize("processes", ["robot", "host"])
def test_the_robots_of_a_swarm_file(tmp_path, processes, started):
    """One of them dies: it is back, unconfigured, and stands until somebody brings it up."""
    robots = [robot_of(f"fleet/R1_{processes}", "mini", (-3.0, 0.0, 0.0), (3.0, 0.0))]
    robots += [robot_of(f"r2_{processes}", "mini", (-3.0, 2.0, 0.0), (3.0, 2.0))]
    path = write_swarm(tmp_path, robots, world={"size": [8.0, 8.0]}, defaults={"autostart": False})
    client = Client()
    names = [f"/{robot.name}/policy" for robot in robots]
    topics = [f"/{robot.name}/cmd_vel" for robot in robots]
    for topic in topics:
        client.listen(Twist, topic, 10)

    def drive(*topics):
        client.heard.clear()
        return client.until(lambda: all(any(twist.linear.x for twist in client.on(topic)) for topic in topics))

    manager = Manager(client, *names)
    try:
        with (
            open(tmp_path / "log", "w+") as log,
            module_process("swarm_cli", [str(path), "--processes", processes], log) as process,
        ):
            assert manager.startup()
            assert drive(*topics)
            assert manager.pause()
            client.heard.clear()
            client.spin(0.5)
            assert not client.heard
            assert manager.resume()
            assert drive(*topics)
            word = "policy_host\0fleet/R1_host" if processes == "host" else "__ns:=/fleet/R1_robot"
            (pid,) = [pid for pid in started() if word.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()]
            os.kill(pid, signal.SIGKILL)
            assert client.until(lambda: "starting it again" in (tmp_path / "log").read_text())
            assert client.until(lambda: pid not in started())
            lost = names if processes == "host" else names[:1]
            for name in lost:
                assert manager.state_of_a_new_process(name) == State.PRIMARY_STATE_UNCONFIGURED
                assert manager.change(name, CONFIGURE)
                assert manager.change(name, ACTIVATE)
            assert drive(*topics)
            assert manager.reset()
            process.send_signal(signal.SIGINT)
            assert client.until(lambda: process.poll() is not None, 6)
            assert process.returncode == 130
    finally:
        print((tmp_path / "log").read_text())
        client.close()
