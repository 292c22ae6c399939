"""The latest message of a topic: who sent it, how often they come, and when several devices speak in turn."""

import pytest
from nav_msgs.msg import Odometry
from sensor_msgs.msg import LaserScan

from kdmarl_core.runtime.faults import Cause, Fault
from kdmarl_ros.robot.latest import Latest
from node_process import Client
from robot_body import stamp

SECOND = 1_000_000_000


@pytest.fixture(scope="module")
def client():
    client = Client()
    yield client
    client.close()


@pytest.fixture
def latest(client, monkeypatch):
    """A lidar's topic, with a clock of its own: ``latest.now`` [s]."""
    latest = Latest(client.node, "scan", LaserScan)
    latest.now = 100.0
    monkeypatch.setattr("kdmarl_ros.robot.latest.arrival_time", lambda clock: round(latest.now * SECOND))
    yield latest
    latest.destroy()


def hear(latest, sender="a", frame="lidar", message=None, after=0.05, stamped=None):
    latest.now += after
    message = message or LaserScan()
    message.header.frame_id = frame
    stamp(message, latest.now if stamped is None else stamped)
    latest._receive_from(message, {"publisher_gid": sender})


def check(latest):
    now = round(latest.now * SECOND)
    latest.require_fresh(now, now, SECOND // 2)


@pytest.mark.parametrize(
    ("first", "second", "text"),
    [
        ({"frame": "front"}, {"frame": "rear"}, "scan comes from several devices in turn, in the frames 'front' and"),
        ({"sender": "a"}, {"sender": "b"}, "scan comes from several publishers in turn"),
    ],
    ids=["frames", "publishers"],
)
@pytest.mark.parametrize("every", [0.025, 0.2])
def test_devices_in_turn_stop_the_robot_as_long_as_there_are_several(latest, first, second, text, every):
    for source in (first, second, first, second):
        hear(latest, **source, after=every)
        check(latest)
    hear(latest, **first, after=every)
    with pytest.raises(Fault, match=text) as error:
        check(latest)
    assert error.value.cause is Cause.MIXED
    while latest.now < 102:
        hear(latest, **first)
    check(latest)


def test_a_device_that_is_started_again_or_says_another_frame_for_a_while_is_none_of_several(latest):
    for sender in "abcdefghijklmnopqrstuvwxyz":
        for _ in range(3):
            hear(latest, sender)
            check(latest)
    for frame in ("lidar", "odom") * 3:
        for _ in range(7):  # for as long as a robot that is stopped for it takes to stand and drive on
            hear(latest, frame=frame)
            check(latest)


def test_odometry_of_two_bodies_is_reported_with_their_frames(client, monkeypatch):
    latest = Latest(client.node, "odom", Odometry)
    latest.now = 100.0
    monkeypatch.setattr("kdmarl_ros.robot.latest.arrival_time", lambda clock: round(latest.now * SECOND))
    for body in ("wheels", "filter") * 3:
        hear(latest, frame="odom", message=Odometry(child_frame_id=body))
    with pytest.raises(Fault, match="in the frames 'filter of odom' and 'wheels of odom'"):
        check(latest)
    latest.destroy()


def test_a_middleware_that_does_not_say_who_sends_is_listened_to_all_the_same(latest):
    for _ in range(5):
        latest.now += 0.05
        message = LaserScan()
        stamp(message, latest.now)
        latest._receive_from(message, {})
        check(latest)


def test_the_interval_is_the_longest_of_late_by_stamps_or_arrivals(latest):
    assert latest.interval is None
    hear(latest)
    assert latest.interval is None
    hear(latest, after=0.1)
    assert latest.interval == pytest.approx(0.1)
    hear(latest, after=0.01, stamped=latest.now + 0.2)  # held up
    assert latest.interval == pytest.approx(0.2)
    hear(latest, after=0.001)  # two at once
    assert latest.interval == pytest.approx(0.2)
    for _ in range(4):
        hear(latest, after=0.1)
    assert latest.interval == pytest.approx(0.1)
    latest.clear()
    hear(latest)
    assert latest.interval is None
