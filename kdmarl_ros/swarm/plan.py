"""Which processes a swarm needs; used by both the launch file and ``kdmarl-swarm``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from kdmarl_core.contract import KdmarlError, Robot, Swarm, load_swarm
from kdmarl_core.contract.node_parameters import TRUTH
from kdmarl_core.runtime import Controller, Policy
from kdmarl_ros.swarm.arguments import check_numbers
from kdmarl_ros.swarm.options import Processes, Simulator

PACKAGE = "kdmarl_ros"
JUDGE = "judge"
SIMULATOR = "simulator"
RECORDER = "recorder"
GAZEBO = "gazebo"
ROBOT_NODE = "policy"
"""Name of a robot's node, in the namespace of the robot."""
TF = ("/tf", "/tf_static")
"""Topics of tf."""
MODULES = {
    "policy_node": "kdmarl_ros.robot.policy_node",
    "policy_host": "kdmarl_ros.robot.policy_host",
    "simulator_node": "kdmarl_ros.sim.simulator_node",
    "gazebo_node": "kdmarl_ros.sim.gazebo_node",
    "judge_node": "kdmarl_ros.judge.judge_node",
    "recorder_node": "kdmarl_ros.record.recorder_node",
}
"""Console script of this package → its module."""


@dataclass(frozen=True, kw_only=True)
class Process:
    """One process of the plan.

    ``name`` is for display and unique in the plan. ``executable`` is one of ``MODULES``, ``node`` the node's name in
    ``namespace``; ``respawn`` says whether it is restarted when it dies. For a process with several robots ``node``,
    ``namespace`` and ``parameters`` are empty, and ``robots`` has the parameters of each robot's node.
    """

    name: str
    executable: str
    node: str
    namespace: str
    parameters: dict[str, Any]
    respawn: bool
    remappings: list[tuple[str, str]] = field(default_factory=list)
    """fully qualified topic → the one to use instead"""
    robots: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def module(self) -> str:
        """The Python module, for use without console scripts."""
        return MODULES[self.executable]

    @property
    def is_robot(self) -> bool:
        """Whether it drives robots."""
        return self.executable in ("policy_node", "policy_host")

    @property
    def is_judge(self) -> bool:
        """Whether its end ends the run."""
        return self.executable == "judge_node"

    def parameters_file(self) -> str:
        """The parameters of ``robots`` as a ROS parameter file (YAML), by fully qualified node names."""
        nodes = {f"/{robot}/{ROBOT_NODE}": {"ros__parameters": values} for robot, values in self.robots.items()}
        return yaml.safe_dump(nodes, allow_unicode=True, sort_keys=False)


def load_checked_swarm(path: Path | str, robots: list[str], allow_outside: bool = False) -> Swarm:
    """Read a swarm file and check that every policy fits its robots.

    Args:
        path: swarm file.
        robots: names of the robots to keep; empty for all.
        allow_outside: allow the file to refer to files outside its project, as in :func:`load_swarm`.

    Raises:
        KdmarlError: the file, a name or a policy does not fit.
    """
    swarm = load_swarm(path, allow_outside)
    if robots:
        swarm = swarm.only(robots)
    for robot_type in sorted({robot.type for robot in swarm.robots}):
        Controller(Policy.load(swarm.policies[robot_type]), robot_type, swarm.robot_types[robot_type])
    return swarm


def make_plan(
    swarm: Swarm,
    *,
    simulator: Simulator = Simulator.MUJOCO,
    processes: Processes = Processes.ROBOT,
    real_time_factor: float = 1.0,
    lockstep: bool = False,
    seed: int = 0,
    duration: float = 0.0,
    output: Path | str | None = None,
    record: Path | str | None = None,
) -> list[Process]:
    """The processes of a swarm, in the order in which to start them.

    Args:
        swarm: from :func:`load_checked_swarm`.
        simulator: which simulator; with any, all nodes run on simulated time.
        processes: whether the robots share a process.
        real_time_factor: simulated over real time; 0 is as fast as possible.
        lockstep: let simulated time wait for the robots' commands.
        seed: of the sensor noise.
        duration: of the run [s]; 0 runs until stopped.
        output: directory for the judge's files; None for ``runs/<name of the swarm>`` if there is a duration. Without
            output and duration there is no judge.
        record: file for a recording (.mcap); None for none.

    Raises:
        KdmarlError: the arguments do not fit each other or the swarm.
    """
    _check_simulation(swarm, simulator, real_time_factor, lockstep, seed)
    if not 0 <= duration < math.inf:
        raise KdmarlError(f"duration is {duration:g} s; give 0 (until stopped) or more")
    if record:
        _check_record(Path(record))
    judged = bool(duration or output)
    plan = [_robot(swarm, robot, simulator) for robot in swarm.robots]
    if processes is Processes.HOST:
        _check_one_tf(swarm)
        plan = [_host(plan)]
    if simulator.is_ours:
        plan.insert(0, _simulator(swarm, real_time_factor, lockstep, seed, JUDGE if judged else ""))
    if simulator is Simulator.GAZEBO:
        parameters = {"seed": seed, "use_sim_time": True}
        plan.insert(0, _of_all(swarm, GAZEBO, True, remappings(swarm, swarm.robots), parameters))
    if record:
        plan.insert(0, _recorder(swarm, simulator, Path(record)))
    if judged:
        plan.insert(0, _judge(swarm, simulator, duration, Path(output or Path("runs") / swarm.name)))
    return plan


def _check_simulation(swarm: Swarm, simulator: Simulator, real_time_factor: float, lockstep: bool, seed: int) -> None:
    """What is asked of a simulator fits it and the swarm."""
    check_numbers(real_time_factor, seed)
    if lockstep and not simulator.is_ours:
        raise KdmarlError(
            f"lockstep needs the built-in simulator, sim is '{simulator.value}'; set sim to 'mujoco' or leave lockstep "
            "out"
        )
    if real_time_factor != 1.0 and not simulator.is_generated:
        raise KdmarlError(
            f"real_time_factor is {real_time_factor:g}, sim is '{simulator.value}', which has its own; set sim to "
            "'mujoco' or 'gazebo', or leave real_time_factor out"
        )
    if real_time_factor != 1.0 and swarm.gazebo:
        raise KdmarlError(
            f"real_time_factor is {real_time_factor:g}, and the world of {swarm.path} has its own; leave it out"
        )
    if simulator is Simulator.MUJOCO and swarm.gazebo:
        raise KdmarlError(
            f"{swarm.path}: its world is one of Gazebo, and sim is 'mujoco'; set sim to 'gazebo', or give the world a "
            "size"
        )
    if simulator.is_generated and swarm.world is None and swarm.gazebo is None:
        raise KdmarlError(
            f"{swarm.path}: has no world to simulate; add 'world', or set sim to 'none' for real robots, 'external' "
            "for another simulator"
        )


def _check_record(path: Path) -> None:
    """A recording can be written."""
    if path.exists():
        raise KdmarlError(f"{path} already exists; nothing is written over a recording, so choose another file")
    if find_spec("mcap") is None:
        raise KdmarlError("recording needs mcap, which is not installed; pip install 'kdmarl_ros[record]'")


def drifts(swarm: Swarm, robot: Robot, simulator: Simulator = Simulator.MUJOCO) -> bool:
    """Whether the simulated odometry of a robot drifts, so that ``TRUTH`` says where it is."""
    source = swarm.parameters(robot).pose_source
    return source == "pose" if simulator is Simulator.MUJOCO else source != "odom"


def remappings(swarm: Swarm, robots: Sequence[Robot]) -> list[tuple[str, str]]:
    """Rules for the topics of some robots: (node's topic, topic instead), with full names.

    Topics of tf are those of all nodes: a rule for them may name one in the namespace of whichever node obeys it.
    """
    return [
        (topic, other) if topic in TF else (robot.full_name(topic), robot.full_name(other))
        for robot in robots
        for topic, other in swarm.parameters(robot).remappings.items()
        if topic not in TF or swarm.parameters(robot).pose_source == "tf"
    ]


def _check_one_tf(swarm: Swarm) -> None:
    """Robots in one process have the same topics of tf.

    Raises:
        KdmarlError: two differ.
    """
    by_tf = [robot for robot in swarm.robots if swarm.parameters(robot).pose_source == "tf"]
    for other, topic in product(by_tf[1:], TF):
        one = by_tf[0]
        first, second = (swarm.parameters(robot).remappings.get(topic, topic) for robot in (one, other))
        if first != second:
            raise KdmarlError(
                f"{swarm.path}: robots '{one.name}' and '{other.name}' have {first} and {second} for {topic}, which "
                "one process for all robots cannot have; give all the same, or each robot a process of its own"
            )


def _robot(swarm: Swarm, robot: Robot, simulator: Simulator) -> Process:
    given = swarm.parameters(robot)
    guarded = not (simulator.is_generated and swarm.world) if given.scan_guard is None else given.scan_guard
    return Process(
        name=robot.name if robot.name not in (JUDGE, SIMULATOR, RECORDER, GAZEBO) else f"/{robot.name}/{ROBOT_NODE}",
        executable="policy_node",
        node=ROBOT_NODE,
        namespace=f"/{robot.name}",
        parameters={
            "policy": str(swarm.policies[robot.type]),
            "robot_type": robot.type,
            "robot_types": str(swarm.robot_types_file),
            **destination(swarm, robot),
            "goal_frame": swarm.frame,
            "sensor_timeout": float(given.sensor_timeout),
            "stamped_commands": given.stamped_commands,
            "scan_guard": guarded,
            "trigger": given.trigger,
            "pose_source": given.pose_source,
            "autostart": given.autostart,
            "use_sim_time": simulator.has_clock,
        },
        respawn=True,
        remappings=remappings(swarm, [robot]),
    )


def _host(robots: list[Process]) -> Process:
    return Process(
        name="robots",
        executable="policy_host",
        node="",
        namespace="",
        parameters={},
        respawn=True,
        remappings=[pair for robot in robots for pair in robot.remappings],
        robots={robot.namespace.strip("/"): robot.parameters for robot in robots},
    )


def rules(renamed: Sequence[tuple[str, str]]) -> list[str]:
    """Remappings as arguments after ``--ros-args``."""
    return [part for topic, other in renamed for part in ("-r", f"{topic}:={other}")]


def destination(swarm: Swarm, robot: Robot) -> dict[str, list[float]]:
    """The parameters of a robot's destination: its own goal and the landmarks, or the team's targets."""
    places = {
        "goal": [float(value) for value in robot.goal or ()],
        "targets": [float(value) for place in swarm.targets or swarm.landmarks for value in place],
    }
    return {name: values for name, values in places.items() if values}


def _of_all(
    swarm: Swarm, name: str, respawn: bool, renamed: Sequence[tuple[str, str]], parameters: dict[str, Any]
) -> Process:
    """A process for all robots, of the console script ``<name>_node``."""
    return Process(
        name=name,
        executable=f"{name}_node",
        node=name,
        namespace="/",
        parameters={"swarm": str(swarm.path), "robots": [robot.name for robot in swarm.robots], **parameters},
        respawn=respawn,
        remappings=list(renamed),
    )


def _simulator(swarm: Swarm, real_time_factor: float, lockstep: bool, seed: int, observer: str) -> Process:
    parameters = {
        "real_time_factor": float(real_time_factor),
        "lockstep": lockstep,
        "seed": seed,
        "observer": observer,
    }
    return _of_all(swarm, SIMULATOR, True, remappings(swarm, swarm.robots), parameters)


def _judge(swarm: Swarm, simulator: Simulator, duration: float, output: Path) -> Process:
    parameters = {
        "duration": float(duration),
        "output": str(output.resolve()),
        "use_sim_time": simulator.has_clock,
    }
    renamed = _judged(swarm, simulator) + remappings(swarm, swarm.robots)
    return _of_all(swarm, JUDGE, False, renamed, parameters)


def _recorder(swarm: Swarm, simulator: Simulator, output: Path) -> Process:
    parameters = {"output": str(output.resolve()), "use_sim_time": simulator.has_clock}
    return _of_all(swarm, RECORDER, False, [], parameters)


def _judged(swarm: Swarm, simulator: Simulator) -> list[tuple[str, str]]:
    """What the judge takes for odometry where that drifts; the first that fits a topic applies."""
    drifting = [robot.name for robot in swarm.robots if simulator.is_generated and drifts(swarm, robot, simulator)]
    return [(f"/{name}/odom", f"/{name}/{TRUTH}") for name in drifting]
