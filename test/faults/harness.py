"""One robot under test: its policy node in a process, its body here.

Everything but the body is real: the node, its process, the messages and the middleware.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from subprocess import Popen
from tempfile import NamedTemporaryFile
from typing import IO

import onnx
from geometry_msgs.msg import Twist
from onnx import helper
from rclpy.qos import QoSProfile, ReliabilityPolicy

from kdmarl_core.contract import load_robot_types
from kdmarl_core.contract.team_terms import Neighbors, Targets
from kdmarl_core.contract.terms import Goal, Lidar, PreviousAction, RangeSensors, Velocity
from loopback import LOOPBACK
from node_process import module_process, node_process
from robot_body import RobotBody, place, places
from support import write_policy
from wall_clock import WallClock

os.environ |= LOOPBACK  # for who runs this without pytest

TIMEOUT = 0.5
"""Default ``sensor_timeout`` [s]"""
PERIOD = 0.1
"""of control [s]"""
AT_ONCE = 1.5 * PERIOD
"""Longest time to the zero command if a message reveals the fault [s]."""
AGED = TIMEOUT + 1.5 * PERIOD
"""Longest time to the zero command if messages stop [s]."""
SILENCE = 2.5 * PERIOD
"""How long a stopped robot is watched for further commands [s]."""

RELIABLE = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
BEST_EFFORT = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)

ROBOT_TYPES = """
probe:  # a scout with every sensor that a policy can ask for
  radius: 0.18
  action:
    {kind: diff_drive, linear: [-0.3, 0.8], angular: [-2.0, 2.0], linear_acceleration: 1.5, angular_acceleration: 6.0}
  sensors:
    lidar: {beams: 360, range: 3.5}
    range_sensors: {bearings: [0.0, 1.57, -1.57], range: 2.0}
"""
SENSORS = ("scan", "odom", "range_0", "range_1", "range_2", "neighbors")

# Goals as seen from (1, 2), looking along +y, which make the policy below give a command, too much, or NaN.
GOOD_GOAL, FAST_GOAL, NAN_GOAL = ((1 - 2 * math.sin(angle), 2 + 2 * math.cos(angle)) for angle in (0.45, 1.4, -0.45))
AT_ROBOT = (1.0, 2.0)
"""A target there does not affect the policy's output."""

IDLE = "/idle"
"""Namespace of a robot without inputs."""

Parameters = dict[str, object]
Model = Callable[[Mapping[str, Parameters], IO[str]], AbstractContextManager[dict[str, "Popen[str]"]]]
"""Starts the nodes of robots (namespace → parameters), with output to a log; returns the process of each."""


@contextmanager
def one_process_each(robots: Mapping[str, Parameters], log: IO[str]) -> Iterator[dict[str, Popen[str]]]:
    """The default: every robot's node is a process of its own."""
    with ExitStack() as stack:
        yield {
            namespace: stack.enter_context(node_process("robot.policy_node", log, __ns=namespace, **parameters))
            for namespace, parameters in robots.items()
        }


@contextmanager
def one_process(robots: Mapping[str, Parameters], log: IO[str]) -> Iterator[dict[str, Popen[str]]]:
    """All robots of a host in one process, with another one that has no inputs."""
    idle = {name: value for name, value in next(iter(robots.values())).items() if not name.startswith("qos_overrides.")}
    nodes = {
        f"{namespace}/policy": {"ros__parameters": parameters}
        for namespace, parameters in {**robots, IDLE: idle}.items()
    }
    with NamedTemporaryFile("w", suffix=".yaml") as file:
        json.dump(nodes, file, default=str)  # which is YAML, too
        file.flush()
        names = [namespace.strip("/") for namespace in (*robots, IDLE)]
        with module_process("robot.policy_host", [*names, "--ros-args", "--params-file", file.name], log) as process:
            yield dict.fromkeys(robots, process)


MODELS: dict[str, Model] = {"process": one_process_each, "host": one_process}


class Scene:
    """A robot that drives, until a fault is injected.

    Attributes: ``body``, ``process``, the node's ``parameters``, and its ``wall_clock`` where it has one of its own.
    """

    def __init__(
        self,
        folder: Path,
        model: str = "process",
        sim_time: bool = False,
        namespace: str = "/r1",
        wall_clock: WallClock | None = None,
    ) -> None:
        """Prepare; :meth:`start` starts the node.

        Args:
            folder: for the policy, the robot type and the node's log.
            model: of ``MODELS``.
            sim_time: the body publishes ``/clock``, too.
            namespace: of the robot.
            wall_clock: of the node and the body.
        """
        self.wall_clock = wall_clock
        self.body = RobotBody(namespace=namespace, topics=SENSORS)
        self.body.offer("scan", RELIABLE)
        if sim_time:
            self.body.simulate_time(100_000.0)  # far enough from zero to be set back often
        self.log = folder / f"{namespace.strip('/')}.log"
        self.namespace = namespace
        self._model = MODELS[model]
        self.parameters: Parameters = {
            **robot_parameters(folder),
            "autostart": True,
            "use_sim_time": sim_time,
            # So that a lidar can come to offer too little, which best effort never does.
            f"qos_overrides.{namespace}/scan.subscription.reliability": "reliable",
        }
        self._stack = ExitStack()
        self.process: Popen[str]

    def start(self) -> None:
        """Restart the node."""
        self._stack.close()
        self.body.spin(0.05)  # what the one before said last has come by then
        self.body.diagnostics.clear()
        log = self._stack.enter_context(self.log.open("a"))
        with self.wall_clock.worn() if self.wall_clock else nullcontext():
            processes = self._stack.enter_context(self._model({self.namespace: self.parameters}, log))
        self.process = processes[self.namespace]

    def heal(self) -> None:
        """Remove all faults and start a new process."""
        self.repair()
        self.start()
        assert self.body.drives(), self.body.diagnostics[-1:]

    def repair(self) -> None:
        """Remove all faults of the body."""
        self.body.edits.clear()
        self.body.single()
        self.body.clock_runs = True
        self.body.offer("scan", RELIABLE)
        self.body.listen_to(Twist)
        self.order_good()

    def order_good(self) -> None:
        """Goal and targets with which the robot drives."""
        self.body.goals.publish(place(*GOOD_GOAL))
        self.body.targets.publish(places(AT_ROBOT))

    def close(self) -> None:
        """End node and body."""
        self._stack.close()
        self.body.close()


def robot_parameters(folder: Path) -> Parameters:
    """Parameters of a ``probe`` that drives by :func:`write_brittle_policy`, both written into ``folder``."""
    types = folder / "robots.yaml"
    types.write_text(ROBOT_TYPES)
    return {
        "policy": write_brittle_policy(folder / "brittle.onnx", types),
        "robot_type": "probe",
        "robot_types": types,
        "goal": list(GOOD_GOAL),
        "targets": list(AT_ROBOT),
        "sensor_timeout": TIMEOUT,
        "scan_guard": True,
        "stamped_commands": False,
    }


def write_brittle_policy(path: Path, robot_types: Path) -> Path:
    """A policy that needs every input and fails at some goals: with a square root instead of a tanh.

    It returns NaN for goals to the right, and values outside its action space for goals far to the left.
    """

    def replace_tanh(model: onnx.ModelProto) -> None:
        model.graph.node[1].CopyFrom(helper.make_node("Sqrt", ["raw"], ["unit"]))

    observation = [
        Lidar(sectors=36, range=3.5),
        RangeSensors(count=3, range=2.0),
        Goal(range=5.0),
        Targets(count=1, range=8.0),
        Neighbors(count=2, range=4.0),
        Velocity(),
        PreviousAction(),
    ]
    robot = load_robot_types(robot_types)["probe"]
    return write_policy(path, "probe", robot, observation, control_period=PERIOD, edit=replace_tanh)
