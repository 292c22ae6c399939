"""The launch file without a ROS distribution: what it declares, refuses and plans, and a run of what it plans."""

import importlib.util
import inspect
import json
import signal
import tempfile
from contextlib import ExitStack
from unittest.mock import Mock

import pytest
import yaml

from kdmarl_core.contract import KdmarlError
from kdmarl_ros.swarm.options import Processes, Simulator
from kdmarl_ros.swarm.plan import MODULES, PACKAGE, load_checked_swarm, make_plan
from launch_stand_ins import module_of
from node_process import python_process
from sim_support import CROSSING, robot, write_swarm
from support import REPOSITORY

LAUNCH_FILE = REPOSITORY / "launch" / "swarm.launch.py"
JUDGED = {"duration": "5", "lockstep": "true", "real_time_factor": "0"}


@pytest.fixture(scope="module")
def launch_file():
    return module_of(LAUNCH_FILE)


@pytest.fixture
def launch(launch_file, tmp_path, monkeypatch):
    """Launch with some arguments; what is to be done once all are known."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # for parameter files, which launch leaves behind

    def call(**given):
        context = launch_file.LaunchContext()
        context.launch_configurations.update(given)
        return [
            action
            for entity in launch_file.generate_launch_description().entities
            for action in entity.execute(context) or []
        ]

    return call


@pytest.fixture
def nodes(launch_file, launch):
    """Launch with some arguments; the processes to start, with complete command lines."""

    def call(**given):
        found = [action for action in launch(**given) if isinstance(action, launch_file.Node)]
        for node in found:
            node.execute(launch_file.LaunchContext())
        return found

    return call


def parameters(node):
    """What a process reads from its parameter file: node → parameters."""
    (path,) = [value for name, value in zip(node.cmd, node.cmd[1:], strict=False) if name == "--params-file"]
    with open(path) as file:
        return {name: values["ros__parameters"] for name, values in yaml.safe_load(file).items()}


def test_every_argument_has_a_default_and_says_what_it_is(launch_file):
    entities = launch_file.generate_launch_description().entities
    declared = {entity.name: entity for entity in entities if isinstance(entity, launch_file.DeclareLaunchArgument)}
    for argument in declared.values():
        assert argument.default_value is not None
        assert argument.description
    assert declared["sim"].choices == [simulator.value for simulator in Simulator]
    assert declared["processes"].choices == [processes.value for processes in Processes]
    assert declared["swarm"].default_value == str(CROSSING)


def test_by_default_it_starts_what_the_plan_of_the_crossing_says(nodes):
    plan = make_plan(load_checked_swarm(CROSSING, []))
    found = nodes()
    assert [node.name for node in found] == [process.name for process in plan]
    assert len(found) == 1 + 6
    for node, process in zip(found, plan, strict=True):
        assert (node.package, node.cmd[0]) == (PACKAGE, process.executable)
        assert (node.node_name, node.namespace, node.remappings) == (process.node, process.namespace, ())
        names = ["--ros-args", "-r", f"__node:={process.node}", "-r", f"__ns:={process.namespace}"]
        assert node.cmd[1:6] == names
        assert parameters(node) == {f"{process.namespace.rstrip('/')}/{process.node}": process.parameters}


def test_processes_that_die_come_back_for_a_while_and_end_in_time(nodes):
    for node in nodes(duration="5"):
        options = node.options
        assert options["respawn"] == (node.name != "judge")
        assert (options["respawn_delay"], options["respawn_max_retries"]) == (0.5, 5)
        assert (options["sigterm_timeout"], options["sigkill_timeout"]) == ("3.0", "1.5")
        assert options["output"] == "screen"
        assert options["additional_env"] == {"PYTHONUNBUFFERED": "1"}


def test_real_robots_need_no_simulator_and_run_on_wall_time(nodes):
    found = nodes(sim="none", robots="mini_1, scout_2")
    assert {node.name for node in found} == {"mini_1", "scout_2"}
    for node in found:
        (values,) = parameters(node).values()
        assert values["use_sim_time"] is False


def test_one_process_for_all_robots_gets_a_file_with_the_parameters_of_each(nodes):
    simulator, host = nodes(processes="host", robots="mini_1,scout_2")
    assert simulator.name == "simulator"
    assert host.cmd[:-1] == ["policy_host", "scout_2", "mini_1", "--ros-args", "--params-file"]
    each = {f"{node.namespace}/policy": parameters(node) for node in nodes(robots="mini_1,scout_2")[1:]}
    assert parameters(host) == {name: values[name] for name, values in each.items()}


def test_text_stays_text_even_if_yaml_reads_it_as_something_else(launch_file):
    process = make_plan(load_checked_swarm(CROSSING, ["mini_1"]))[1]
    process.parameters["robot_type"] = "on"
    (node,) = launch_file._actions(process)
    (given,) = node.parameters
    assert (given["robot_type"].value, given["robot_type"].value_type) == ("on", str)


@pytest.mark.parametrize("given", [{"duration": "5"}, {"output": "out"}])
def test_the_end_of_the_judge_ends_the_launch(launch_file, launch, tmp_path, monkeypatch, given):
    monkeypatch.chdir(tmp_path)
    judge, registered, *others = launch(**given)
    assert (judge.name, judge.cmd[0]) == ("judge", "judge_node")
    assert registered.event_handler.target_action is judge
    assert all(isinstance(other, launch_file.Node) for other in others)


@pytest.mark.parametrize(
    ("exit_code", "words"),
    [(0, "reaches"), (1, "misses"), (2, "nothing to judge"), (-9, "ended with exit code -9")],
)
def test_the_launch_fails_unless_the_judge_is_content(launch_file, launch, exit_code, words):
    judge, registered, *_ = launch(duration="5")
    context = launch_file.LaunchContext()
    context.asyncio_loop = Mock()
    event = launch_file.ProcessExited(
        returncode=exit_code, action=judge, name="judge-1", cmd=judge.cmd, cwd=None, env=None, pid=1
    )
    shutdown = registered.event_handler.handle(event, context)
    assert isinstance(shutdown, launch_file.Shutdown)
    assert words in shutdown.reason
    failures = context.asyncio_loop.call_exception_handler.call_args_list
    assert [call.args[0]["message"] for call in failures] == ([shutdown.reason] if exit_code else [])


def test_no_judge_no_end(launch_file, launch):
    assert all(isinstance(action, launch_file.Node) for action in launch())


@pytest.mark.parametrize("argument", ["sim", "processes", "lockstep", "allow_outside"])
def test_wrong_choices_are_refused(launch, argument):
    with pytest.raises(RuntimeError, match=f"{argument}: stage is none of "):
        launch(**{argument: "stage"})


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"seed": "many"}, "seed is 'many'; give a number"),
        ({"seed": "1.5"}, "seed is '1.5'; give a number"),
        ({"duration": "long"}, "duration is 'long'; give a number"),
        ({"duration": "-3"}, "duration is -3"),
        ({"real_time_factor": "fast"}, "real_time_factor is 'fast'; give a number"),
        ({"robots": "scout_1,bob"}, "no robot 'bob'; the swarm has scout_1"),
        ({"sim": "none", "lockstep": "true"}, "lockstep needs the built-in simulator"),
        ({"swarm": "nothing.yaml"}, "nothing.yaml: no such file"),
    ],
)
def test_bad_input_is_refused_before_anything_starts(launch, given, words):
    with pytest.raises(KdmarlError, match=words):
        launch(**given)


@pytest.mark.parametrize("processes", ["robot", "host"])
def test_what_it_plans_runs_and_reaches_the_bars(nodes, started, tmp_path, processes):
    path = write_swarm(tmp_path, [robot()], world={"size": [8.0, 8.0]})
    judge, *others = nodes(swarm=str(path), processes=processes, output=str(tmp_path / "out"), **JUDGED)
    with ExitStack() as stack, open(tmp_path / "log", "w+") as log:
        running = [
            stack.enter_context(python_process(["-m", MODULES[node.cmd[0]], *node.cmd[1:]], log))
            for node in (judge, *others)
        ]
        try:
            assert running[0].wait(timeout=60) == 0
            for process in running[1:]:
                process.send_signal(signal.SIGINT)
                process.wait(timeout=5)
        finally:
            print((tmp_path / "log").read_text())
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["passed"]
    assert started() == []


def taken(class_):
    """Name and kind of everything that a class and its base classes are made with."""
    return {
        (name, parameter.kind)
        for base in class_.__mro__
        if "__init__" in vars(base) and base is not object
        for name, parameter in inspect.signature(base).parameters.items()
        if parameter.kind is not parameter.VAR_KEYWORD
    }


def test_the_stand_ins_are_made_like_the_real_classes(launch_file):
    pytest.importorskip("launch_ros")
    for stand_in in vars(launch_file).values():
        if inspect.isclass(stand_in) and stand_in.__module__.partition(".")[0] in ("launch", "launch_ros"):
            real = getattr(importlib.import_module(stand_in.__module__), stand_in.__name__)
            assert taken(stand_in) <= taken(real), stand_in


@pytest.fixture
def launch_robot():
    """Launch one robot with some arguments; what is included."""
    launch_file = module_of(LAUNCH_FILE.with_name("robot.launch.py"))

    def call(**given):
        context = launch_file.LaunchContext()
        context.launch_configurations.update(given)
        entities = launch_file.generate_launch_description().entities
        return [action for entity in entities for action in entity.execute(context) or []]

    return call


@pytest.mark.parametrize(("given", "simulator"), [({}, "none"), ({"sim": "external"}, "external")])
def test_one_robot_is_launched_as_of_the_swarm_without_a_simulator(launch_robot, nodes, given, simulator):
    (included,) = launch_robot(robot="mini_1", swarm=str(CROSSING), **given)
    assert included.source.location == str(LAUNCH_FILE)
    assert included.arguments["sim"] == simulator
    (node,) = nodes(**included.arguments)
    assert node.name == "mini_1"


@pytest.mark.parametrize("name", ["", "mini_1,mini_2"])
def test_one_robot_is_one_robot(launch_robot, name):
    with pytest.raises(KdmarlError, match=f"robot is '{name}'; give the name of one robot of "):
        launch_robot(robot=name, swarm=str(CROSSING))


def test_one_robot_is_not_simulated_by_us(launch_robot):
    with pytest.raises(RuntimeError, match="sim: mujoco is none of "):
        launch_robot(robot="mini_1", swarm=str(CROSSING), sim="mujoco")
