"""A swarm is recorded, and a policy driven over the recording commands what it commanded."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest
import yaml
from rclpy.serialization import serialize_message

from kdmarl_core.contract import KdmarlError
from kdmarl_ros.record.bag import BagWriter, read, writing
from kdmarl_ros.record.definitions import definition
from kdmarl_ros.record.recorder_node import RecorderNode
from kdmarl_ros.record.replay import TOGETHER, _Cycles
from node_process import DOMAIN
from robot_body import fill, sensor_message, stamp
from sim_support import robot, write_swarm

pytest.importorskip("mcap")
MS = 1_000_000
"""[ns]"""


def command(*arguments, timeout=100):
    return subprocess.run(
        [sys.executable, "-m", "kdmarl_ros.swarm_cli", *map(str, arguments)],
        capture_output=True, text=True, timeout=timeout, env={**os.environ, "ROS_DOMAIN_ID": str(DOMAIN)},
    )  # fmt: skip


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A swarm file, and the recording of a run of it with drifting odometry."""
    folder = tmp_path_factory.mktemp("recorded")
    robots = [robot("a", pose=(-2.0, -1.0, 0.0), goal=(2.0, -1.0)), robot("b", "mini", (2.0, 1.0, 3.14), (-2.0, 1.0))]
    defaults = {"pose_source": "pose", "remappings": {"odom": "odometry/filtered", "pose": "amcl_pose"}}
    swarm = write_swarm(folder, robots, world={"size": [8.0, 8.0]}, defaults=defaults)
    bag = folder / "run.mcap"
    options = ["--duration", 15, "--lockstep", "--output", folder / "out", "--record", bag]
    done = command(swarm, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((folder / "out" / "summary.json").read_text())["totals"]["goals_reached"] == 2
    assert f"messages: {bag}" in done.stdout
    return swarm, bag


def test_what_matters_is_recorded_under_its_own_name(recorded):
    _, bag = recorded
    messages = list(read(bag))
    topics = {message.topic: message.kind for message in messages}
    assert topics["/a/scan"] == "sensor_msgs/msg/LaserScan"
    assert topics["/b/range_7"] == "sensor_msgs/msg/Range"
    assert topics["/a/odometry/filtered"] == "nav_msgs/msg/Odometry"
    assert topics["/b/amcl_pose"] == "geometry_msgs/msg/PoseWithCovarianceStamped"
    assert topics["/a/cmd_vel"] == "geometry_msgs/msg/Twist"
    assert topics["/diagnostics"] == "diagnostic_msgs/msg/DiagnosticArray"
    assert "/a/odom" not in topics
    scans = [message.time for message in messages if message.topic == "/a/scan"]
    assert len(scans) > 100
    assert scans == sorted(scans)


@pytest.mark.parametrize("name", ["a", "b"])
def test_a_policy_over_its_own_recording_commands_the_same(recorded, tmp_path, name):
    swarm, bag = recorded
    done = command("replay", bag, swarm, name, "--output", tmp_path / "rows.csv")
    assert done.returncode == 0, done.stderr
    assert "difference from the recorded commands" in done.stdout
    with open(tmp_path / "rows.csv") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[:2] == ["time", "recorded_forward"]
    driven = [row for row in rows if row["replayed_forward"] and row["recorded_forward"]]
    assert len(driven) > 80
    # The recording begins while the robot drives already, so the first cycles differ.
    differences = [abs(float(row["replayed_forward"]) - float(row["recorded_forward"])) for row in driven[30:]]
    # A message that came together with the cycle may have been in time for it, or not: the mini has eight topics.
    assert sorted(differences)[len(differences) // 2] < (1e-3 if name == "a" else 0.1)


def test_a_sensor_starts_the_cycles_where_the_swarm_file_says_so(recorded, tmp_path):
    swarm, bag = recorded
    by_sensor = swarm.with_name("by_sensor.yaml")
    data = yaml.safe_load(swarm.read_text())
    by_sensor.write_text(yaml.safe_dump(data | {"defaults": data["defaults"] | {"trigger": "sensor"}}))
    done = command("replay", bag, by_sensor, "a", "--output", tmp_path / "rows.csv")
    assert done.returncode == 0, done.stderr
    with open(tmp_path / "rows.csv") as file:
        times = [float(row["time"]) for row in csv.DictReader(file)]
    messages = list(read(bag))
    scans = {(message.time - messages[0].time) // MS for message in messages if message.topic == "/a/scan"}
    by_scan = [time for time in times if round(time * 1000) - TOGETHER // MS in scans]
    assert len(by_scan) > 0.8 * len(times) > 0.6 * len(scans)


@pytest.mark.parametrize(
    ("on_sensor", "expected"),
    [(False, [100, 200, 300, 400, 500]), (True, [100, 191, 271, 411, 501])],
)
def test_cycles_begin_when_a_node_would_begin_them(on_sensor, expected):
    """By the sensor no sooner than three quarters of a period after the last, and no later than 1.4 periods."""
    cycles, found = _Cycles(100 * MS, on_sensor), []
    for time in (20, 110, 190, 240, 270, 500, 520):
        found += cycles.until(time * MS)
        cycles.hear(time * MS)
    assert [time // MS for time in found] == expected


def test_another_policy_or_robot_that_does_not_fit(recorded, tmp_path):
    swarm, bag = recorded
    refused = command("replay", bag, swarm, "a", "--policy", swarm.with_name("mini.onnx"))
    assert refused.returncode == 2
    assert "give this robot a policy of its own type" in refused.stderr
    other = write_swarm(tmp_path, [robot("c")], world=None)
    refused = command("replay", bag, other, "c")
    assert refused.returncode == 2
    assert "has no messages on /c/odom, /c/scan, which" in refused.stderr


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "is not a complete MCAP file"), (b"x" * 1000, "is not a complete MCAP file"), (None, "cannot be read: ")],
)
def test_files_that_are_no_recording(recorded, tmp_path, content, words):
    swarm, _ = recorded
    if content is not None:
        (tmp_path / "bad.mcap").write_bytes(content)
    refused = command("replay", tmp_path / "bad.mcap", swarm, "a")
    assert refused.returncode == 2
    assert words in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("storage", ["SQLITE3", "MCAP"])
@pytest.mark.parametrize("compressed", [None, "FILE", "MESSAGE"])
def test_recordings_of_rosbag2_are_read(recorded, tmp_path, storage, compressed):
    """Written by another library, as ``ros2 bag record`` lays them out."""
    rosbag2 = pytest.importorskip("rosbags.rosbag2")
    typesys = pytest.importorskip("rosbags.typesys")
    store = typesys.get_typestore(typesys.Stores.ROS2_JAZZY)
    _, bag = recorded
    expected, connections = list(read(bag))[:500], {}
    writer = rosbag2.Writer(tmp_path / "bag", version=9, storage_plugin=rosbag2.StoragePlugin[storage])
    if compressed:
        writer.set_compression(rosbag2.CompressionMode[compressed], rosbag2.CompressionFormat.ZSTD)
    with writer:
        for message in expected:
            if message.topic not in connections:
                connections[message.topic] = writer.add_connection(message.topic, message.kind, typestore=store)
            writer.write(connections[message.topic], message.time, message.data)
    assert sorted(read(tmp_path / "bag")) == sorted(expected)
    times = [message.time for message in read(tmp_path / "bag")]
    assert times == sorted(times)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("run.bag", "is a recording of ROS 1; convert it: rosbags-convert --src"),
        ("folder/run_0.db3", "is a part of a recording of rosbag2; name its folder"),
        ("empty", "is not a recording that can be read .* with its metadata.yaml"),
    ],
)
def test_other_recordings_are_named(tmp_path, name, words):
    (tmp_path / "empty").mkdir()
    with pytest.raises(KdmarlError, match=words):
        list(read(tmp_path / name))


def test_a_simulation_recorded_on_wall_time_is_named(recorded, tmp_path):
    swarm, bag = recorded
    with writing(tmp_path / "wall.mcap") as writer:
        for message in list(read(bag))[:200]:
            writer.add(message.topic, message.kind, message.data, message.time + 1_700_000_000 * 10**9)
    refused = command("replay", tmp_path / "wall.mcap", swarm, "a")
    assert refused.returncode == 2
    assert "was recorded on wall time and is stamped in simulated time; record with" in refused.stderr


def test_a_recording_is_never_written_over(recorded):
    swarm, bag = recorded
    refused = command(swarm, "--record", bag)
    assert refused.returncode == 2
    assert "already exists; nothing is written over a recording" in refused.stderr
    with pytest.raises(KdmarlError, match="already exists"), writing(bag):
        pass


def test_other_encodings_are_refused(tmp_path):
    from mcap.writer import Writer

    path = tmp_path / "other.mcap"
    with path.open("wb") as file:
        writer = Writer(file)
        writer.start()
        schema = writer.register_schema(name="x", encoding="jsonschema", data=b"{}")
        channel = writer.register_channel(topic="/x", message_encoding="json", schema_id=schema)
        writer.add_message(channel_id=channel, log_time=0, data=b"{}", publish_time=0)
        writer.finish()
    with pytest.raises(KdmarlError, match="/x is encoded as 'json', not cdr"):
        list(read(path))


def test_messages_come_back_as_they_were(tmp_path):
    message = sensor_message("scan")
    stamp(message, 5.5)
    fill("scan", message, "r1")
    data = serialize_message(message)
    with (tmp_path / "one.mcap").open("wb") as file:
        writer = BagWriter(file)
        for time in (3, 1, 2):
            writer.add("/r1/scan", "sensor_msgs/msg/LaserScan", data, time)
        writer.close()
    found = list(read(tmp_path / "one.mcap"))
    assert [message.time for message in found] == [1, 2, 3]
    assert all(bytes(message.data) == bytes(data) for message in found)


def test_definitions_hold_all_parts():
    text = definition("nav_msgs/msg/Odometry")
    parts = [part.splitlines()[0] for part in text.split("=" * 80 + "\n")[1:]]
    assert parts[0].startswith("MSG: ")
    for name in (
        "std_msgs/Header",
        "geometry_msgs/PoseWithCovariance",
        "geometry_msgs/Quaternion",
        "builtin_interfaces/Time",
    ):
        assert f"MSG: {name}" in parts
    assert len(parts) == len(set(parts))
    with pytest.raises(KdmarlError, match="no_msgs/msg/Nothing.msg is not installed"):
        definition("no_msgs/msg/Nothing")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(28, "No space left on device"), "run.mcap cannot be written any more: No space left on device"),
        (KdmarlError("x.msg is not installed"), "x.msg is not installed"),
    ],
)
def test_a_recording_that_cannot_go_on_keeps_its_reason(error, words):
    """A disk cannot be filled here, so writing fails instead."""
    node = Mock(trouble="", messages=0, output=Path("run.mcap"), _bag=Mock(add=Mock(side_effect=error)))
    RecorderNode._hear(node, "/a/scan", "sensor_msgs/msg/LaserScan", b"")
    RecorderNode._hear(node, "/a/scan", "sensor_msgs/msg/LaserScan", b"")
    assert words in node.trouble
    assert node._bag.add.call_count == 1
    assert node.messages == 0
