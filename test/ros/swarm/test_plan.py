"""The plan: which processes, with which names and parameters."""

import json
from pathlib import Path

import pytest
import yaml

from kdmarl_core.contract import KdmarlError
from kdmarl_ros.robot.inputs import check_remappings
from kdmarl_ros.robot.security import used
from kdmarl_ros.swarm.options import Processes, Simulator
from kdmarl_ros.swarm.plan import load_checked_swarm, make_plan
from kdmarl_ros.swarm.supervisor import command
from sim_support import robot, write_swarm

NAMES = ["scout_1", "scout_2", "carrier_1", "carrier_2", "mini_1", "mini_2"]


@pytest.fixture
def swarm(tmp_path):
    return load_checked_swarm(write_swarm(tmp_path, frame="hall"), [])


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, ["simulator", *NAMES]),
        ({"simulator": Simulator.NONE}, NAMES),
        ({"duration": 1.0}, ["judge", "simulator", *NAMES]),
        ({"output": "there"}, ["judge", "simulator", *NAMES]),
        ({"simulator": Simulator.NONE, "duration": 1.0}, ["judge", *NAMES]),
        ({"simulator": Simulator.EXTERNAL}, NAMES),
        ({"simulator": Simulator.EXTERNAL, "duration": 1.0}, ["judge", *NAMES]),
    ],
)
def test_processes(swarm, options, names):
    plan = make_plan(swarm, **options)
    assert [process.name for process in plan] == names
    for process in plan:
        assert process.respawn == (not process.is_judge)
        simulated = options.get("simulator") is not Simulator.NONE
        assert process.parameters.get("use_sim_time", simulated) == simulated


def test_a_robot_gets_its_own_policy_type_and_goal(swarm):
    process = next(process for process in make_plan(swarm) if process.name == "mini_2")
    assert (process.executable, process.namespace, process.node) == ("policy_node", "/mini_2", "policy")
    assert process.is_robot
    parameters = process.parameters
    assert parameters["policy"].endswith("mini.onnx")
    assert parameters["robot_type"] == "mini"
    assert parameters["goal"] == [-0.8, -3.1]
    assert "targets" not in parameters
    assert parameters["goal_frame"] == "hall"
    assert parameters["autostart"] is True
    assert parameters["sensor_timeout"] == swarm.defaults.sensor_timeout


REMAPPED = {"odom": "odometry/filtered", "cmd_vel": "/base/cmd_vel"}


@pytest.mark.parametrize("processes", Processes)
def test_topics_are_replaced_for_one_robot_in_all_processes(tmp_path, processes):
    path = write_swarm(tmp_path)
    data = yaml.safe_load(path.read_text())
    data["robots"][0]["parameters"] = {"remappings": REMAPPED, "trigger": "sensor"}
    path.write_text(yaml.safe_dump(data))
    plan = make_plan(load_checked_swarm(path, []), processes=processes, duration=1.0)
    expected = [("/scout_1/odom", "/scout_1/odometry/filtered"), ("/scout_1/cmd_vel", "/base/cmd_vel")]
    for process in plan:
        concerned = not process.is_robot or process.name in ("scout_1", "robots")
        assert sorted(process.remappings) == (sorted(expected) if concerned else []), process.name
        line = command(process, tmp_path)
        assert ("/scout_1/odom:=/scout_1/odometry/filtered" in line) == concerned
        parameters = process.robots or {process.name: process.parameters}
        triggers = {robot: values.get("trigger") for robot, values in parameters.items()}
        assert triggers.get("scout_1", "sensor") == "sensor"
        assert triggers.get("scout_2", "timer") == "timer"


OWN_TF = {"pose_source": "tf", "remappings": {"/tf": "tf", "/tf_static": "tf_static"}}


def test_robots_may_publish_tf_in_their_own_namespaces(tmp_path):
    swarm = load_checked_swarm(write_swarm(tmp_path, defaults=OWN_TF), [])
    check_remappings(swarm)
    for processes in Processes:
        for process in make_plan(swarm, processes=processes, simulator=Simulator.NONE):
            assert set(process.remappings) == {("/tf", "tf"), ("/tf_static", "tf_static")}
    _, subscribed, _ = used(swarm, swarm.robots[0], Simulator.NONE)
    assert {"/scout_1/tf", "/scout_1/tf_static"} < set(subscribed)


def test_robots_in_one_process_have_the_same_tf(tmp_path):
    path = write_swarm(tmp_path, type_parameters={"mini": OWN_TF})  # the others do not hear tf
    make_plan(load_checked_swarm(path, []), simulator=Simulator.NONE, processes=Processes.HOST)
    check_remappings(load_checked_swarm(path, []))
    path = write_swarm(tmp_path, defaults={"pose_source": "tf"}, type_parameters={"mini": OWN_TF})
    swarm = load_checked_swarm(path, [])
    make_plan(swarm, simulator=Simulator.NONE)
    with pytest.raises(KdmarlError, match="robots 'scout_1' and 'mini_1' have /tf and tf for /tf, which one process"):
        make_plan(swarm, simulator=Simulator.NONE, processes=Processes.HOST)


def test_tf_is_not_remapped_where_it_is_not_heard(tmp_path):
    path = write_swarm(tmp_path, defaults={"remappings": OWN_TF["remappings"]})
    with pytest.raises(KdmarlError, match="/tf is heard with pose_source 'tf' only; set that, or remove it"):
        check_remappings(load_checked_swarm(path, []))


@pytest.mark.parametrize(("given", "prefix"), [(None, "scout_1/"), ("", ""), ("tb_", "tb_")])
def test_frames_begin_as_the_swarm_file_says(tmp_path, given, prefix):
    swarm = load_checked_swarm(write_swarm(tmp_path, defaults={"frame_prefix": given}), [])
    assert swarm.frame_prefix(swarm.robots[0]) == prefix


def test_a_frame_begins_with_no_slash(tmp_path):
    with pytest.raises(KdmarlError, match="frame_prefix is '/tb/'; frames begin with no /"):
        load_checked_swarm(write_swarm(tmp_path, defaults={"frame_prefix": "/tb/"}), [])


@pytest.mark.parametrize(
    ("simulator", "said", "guarded"),
    [
        ("mujoco", None, False),
        ("external", None, True),
        ("none", None, True),
        ("mujoco", True, True),
        ("external", False, False),
        ("none", False, False),
    ],
)
def test_robots_that_we_do_not_simulate_are_guarded_unless_the_file_says_otherwise(tmp_path, simulator, said, guarded):
    swarm = load_checked_swarm(write_swarm(tmp_path, defaults={"scan_guard": said}), [])
    robots = [process for process in make_plan(swarm, simulator=Simulator(simulator)) if process.is_robot]
    assert [process.parameters["scan_guard"] for process in robots] == [guarded] * len(NAMES)


@pytest.mark.parametrize("processes", Processes)
def test_the_file_may_leave_the_lifecycle_to_somebody_else(tmp_path, processes):
    swarm = load_checked_swarm(write_swarm(tmp_path, defaults={"autostart": False}), [])
    for process in make_plan(swarm, processes=processes):
        if process.is_robot:
            assert not any(given["autostart"] for given in process.robots.values() or [process.parameters])


def test_one_process_for_all_robots_gives_each_the_same_parameters(swarm, tmp_path):
    alone = {process.name: process.parameters for process in make_plan(swarm, duration=1) if process.is_robot}
    judge, simulator, robots = make_plan(swarm, duration=1, processes=Processes.HOST)
    assert (judge.name, simulator.name, robots.name) == ("judge", "simulator", "robots")
    assert robots.is_robot
    assert robots.respawn
    arguments = command(robots, tmp_path)
    assert arguments[-9:-2] == [*NAMES, "--ros-args"]
    nodes = yaml.safe_load(Path(arguments[-1]).read_text())
    assert nodes == {f"/{name}/policy": {"ros__parameters": values} for name, values in alone.items()}


def test_landmarks_are_given_in_addition_to_the_goal(tmp_path):
    robots = [robot(), robot("mini_1", "mini", (-2.0, 2.0, 0.0), goal=(1.0, 2.0))]
    swarm = load_checked_swarm(write_swarm(tmp_path, robots, world=None, landmarks=[[0, 0.5]]), [])
    for process in make_plan(swarm, simulator=Simulator.NONE):
        assert process.parameters["targets"] == [0.0, 0.5]
        assert len(process.parameters["goal"]) == 2


def test_with_targets_every_robot_gets_them_all_and_no_goal(tmp_path):
    robots = [robot(goal=None), robot("mini_1", "mini", (-2.0, 2.0, 0.0), goal=None)]
    swarm = load_checked_swarm(write_swarm(tmp_path, robots, world=None, targets=[[2, 0], [1.5, -2]]), [])
    plan = make_plan(swarm, simulator=Simulator.NONE)
    assert [process.parameters["targets"] for process in plan] == [[2.0, 0.0, 1.5, -2.0]] * 2
    assert not any("goal" in process.parameters for process in plan)
    assert "targets:=[2.0, 0.0, 1.5, -2.0]" in command(plan[0], tmp_path)  # floats, else the node refuses them


def test_only_the_chosen_robots(tmp_path):
    swarm = load_checked_swarm(write_swarm(tmp_path), ["mini_1", "scout_2"])
    plan = make_plan(swarm, duration=5)
    assert [process.name for process in plan] == ["judge", "simulator", "scout_2", "mini_1"]
    for process in plan[:2]:
        assert process.parameters["robots"] == ["scout_2", "mini_1"]


def test_output_is_named_after_the_swarm_unless_given(swarm, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert make_plan(swarm, duration=1)[0].parameters["output"] == str(tmp_path / "runs" / "crossing")
    assert make_plan(swarm, duration=1, output="x")[0].parameters["output"] == str(tmp_path / "x")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"real_time_factor": -1.0}, "real_time_factor is -1"),
        ({"real_time_factor": float("nan")}, "real_time_factor is nan"),
        ({"duration": -2.0}, "duration is -2"),
        ({"duration": float("inf")}, "duration is inf"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 2**31}, "seed is 2147483648"),
        ({"simulator": Simulator.NONE, "lockstep": True}, "lockstep needs the built-in simulator, sim is 'none'"),
        ({"simulator": Simulator.EXTERNAL, "lockstep": True}, "needs the built-in simulator, sim is 'external'"),
        ({"simulator": Simulator.EXTERNAL, "real_time_factor": 0.0}, "real_time_factor is 0, sim is 'external'"),
        ({"simulator": Simulator.NONE, "real_time_factor": 2.0}, "real_time_factor is 2, sim is 'none'"),
    ],
)
def test_what_does_not_fit_is_refused(swarm, options, words):
    with pytest.raises(KdmarlError, match=words):
        make_plan(swarm, **options)


def test_a_swarm_without_a_world_is_not_simulated(tmp_path):
    swarm = load_checked_swarm(write_swarm(tmp_path, world=None), [])
    with pytest.raises(KdmarlError, match="no world"):
        make_plan(swarm)
    for other in (Simulator.NONE, Simulator.EXTERNAL):
        assert len(make_plan(swarm, simulator=other)) == len(NAMES)


def test_the_command_line_keeps_the_types_of_parameters(swarm, tmp_path):
    arguments = command(make_plan(swarm)[1], tmp_path)
    given = dict(item.split(":=", 1) for item in arguments if ":=" in item)
    assert given["__ns"] == "/scout_1"
    assert given["__node"] == "policy"
    assert given["robot_type"] == '"scout"'  # quoted, else a type called "on" would be a boolean
    assert given["use_sim_time"] == "true"
    assert json.loads(given["goal"]) == [3.2, 1.1]


def test_policies_of_robots_that_stay_away_are_not_judged(tmp_path):
    path = write_swarm(tmp_path)
    (tmp_path / "mini.onnx").write_bytes(b"broken")
    with pytest.raises(KdmarlError, match="mini"):
        load_checked_swarm(path, [])
    assert len(load_checked_swarm(path, ["scout_1"]).robots) == 1
