"""Names of robots: whatever ROS 2 accepts as a namespace, all the way from the swarm file to the judge."""

import json
import re
from contextlib import contextmanager

import pytest
import yaml
from geometry_msgs.msg import Twist
from hypothesis import example, given, settings
from hypothesis import strategies as st
from nav_msgs.msg import Odometry
from rclpy.exceptions import InvalidNamespaceException, InvalidServiceNameException
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import qos_profile_sensor_data
from rclpy.validate_namespace import validate_namespace

from kdmarl_core.contract import KdmarlError, load_swarm
from kdmarl_core.contract.names import MAX_NAME, MAX_NAMESPACE, is_namespace
from node_process import Client, module_process
from sim_support import robot, write_swarm

ODD = "aZ_09/-. ~{}é\n\t٣"
"""Letters that matter to the check: allowed ones, and others that look alike or mean something elsewhere."""


def ros_accepts(name):
    try:
        return validate_namespace(f"/{name}")
    except InvalidNamespaceException:
        return False


@settings(max_examples=500, deadline=None)
@given(
    st.text(ODD, min_size=1, max_size=12)
    | st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=6)
)
@example("TB3_1")
@example("Robot1")
@example("fleet/tb3_1")
@example("a//b")
@example("a/")
@example("/a")
@example("a/1b")
@example("_/__")
@example("a\n")
@example("a" * MAX_NAMESPACE)
@example("a" * (MAX_NAMESPACE + 1))
@example("a/" * (MAX_NAMESPACE // 2 - 1) + "bc")
@example("a/" * (MAX_NAMESPACE // 2) + "b")
def test_our_check_is_that_of_ros(name):
    assert is_namespace(name) == ros_accepts(name)


def test_what_ros_cuts_off_or_takes_for_the_root_is_no_name():
    assert not is_namespace("")
    assert not is_namespace("a\0b")


def test_the_longest_name_is_what_the_services_of_a_node_leave_room_for():
    client = Client()
    try:
        LifecycleNode("policy", namespace="/" + "a" * MAX_NAME).destroy_node()
        with pytest.raises(InvalidServiceNameException, match="length"):
            LifecycleNode("policy", namespace="/" + "a" * (MAX_NAME + 1))
    finally:
        client.close()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "name '' cannot be a ROS namespace"),
        ("r-1", "name 'r-1' cannot be a ROS namespace; use letters, digits and _, parts joined by single /"),
        ("fleet//r1", "name 'fleet//r1' cannot be"),
        ("x" * (MAX_NAME + 1), f"has {MAX_NAME + 1} characters; give at most {MAX_NAME}"),
    ],
)
def test_a_bad_name_is_reported_with_its_place(tmp_path, name, words):
    path = write_swarm(tmp_path, [robot(), robot(name, pose=(-2.0, 2.0, 0.0), goal=(-1.0, 2.0))])
    with pytest.raises(KdmarlError, match=r"swarm\.yaml: \$\.robots\[1\]: ") as caught:
        load_swarm(path)
    assert words in str(caught.value)


NAMES = ["fleet", "fleet/TB3_1", "fleet/tb3_1", "fleet/scan", "judge", "_Robot1"]
"""One begins others, one ends in the name of a topic, two differ by case alone, one is called as another process."""


def crossing(folder):
    """Six robots that drive a metre each."""
    robots = [
        robot(name, "mini", (-2.0, 1.1 * row - 2.7, 0.0), (-1.0, 1.1 * row - 2.7)) for row, name in enumerate(NAMES)
    ]
    return write_swarm(folder, robots, world={"size": [8.0, 8.0]})


@contextmanager
def swarm(path, *options):
    """Run the command on a swarm file; what it prints is shown if the test fails."""
    with open(path.parent / "log", "w+") as log, module_process("swarm_cli", [str(path), *options], log) as process:
        try:
            yield process
        finally:
            print((path.parent / "log").read_text())


@pytest.mark.parametrize("processes", ["robot", "host"])
def test_a_judged_run_of_such_names(tmp_path, processes):
    """With one robot whose topics have other names: for its node, the simulator and the judge alike."""
    path = crossing(tmp_path)
    data = yaml.safe_load(path.read_text())
    data["robots"][1]["parameters"] = {"remappings": {"odom": "odometry/filtered", "cmd_vel": "/base/cmd_vel"}}
    path.write_text(yaml.safe_dump(data))
    options = ["--processes", processes, "--lockstep", "--real-time-factor", "0", "--duration", "6"]
    with swarm(path, *options, "--output", str(tmp_path / "out")) as process:
        assert process.wait(timeout=90) == 0
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert [one["name"] for one in summary["robots"]] == NAMES
    assert all(one["goal_reached"] for one in summary["robots"])
    log = (tmp_path / "log").read_text()
    if processes == "robot":
        for prefix in ("fleet/TB3_1", "fleet/tb3_1", "fleet/scan", "/judge/policy"):
            assert re.search(rf"^ *{prefix} \| .* policy /.*, sha256", log, re.MULTILINE)


def test_robots_whose_names_begin_others_share_no_topic(tmp_path):
    """And those chosen by --robots run alone."""
    names = ["fleet", "fleet/TB3_1", "fleet/scan"]
    client = Client()
    try:
        with swarm(crossing(tmp_path), "--robots", ",".join(names), "--processes", "host"):
            topics = [f"/{name}/{topic}" for name in names for topic in ("cmd_vel", "odom")]
            for topic in topics:
                client.listen(
                    *((Odometry, topic, qos_profile_sensor_data) if topic.endswith("odom") else (Twist, topic, 10))
                )
            assert client.until(lambda: all(map(client.on, topics)), 40)
            assert client.until(lambda: all(map(client.node.count_publishers, topics)))
            nodes = [f"{space.rstrip('/')}/{name}" for name, space in client.node.get_node_names_and_namespaces()]
            assert {f"/{name}/policy" for name in names} <= set(nodes)
            assert len(set(nodes)) == len(nodes)
            types = dict(client.node.get_topic_names_and_types())
            assert all(len(kinds) == 1 for kinds in types.values()), types
            assert {client.node.count_publishers(topic) for topic in topics} == {1}
            for name in names:
                assert client.on(f"/{name}/odom")[-1].child_frame_id == f"{name}/base_link"
            assert not any(topic.startswith("/judge/") for topic in types)
    finally:
        client.close()
