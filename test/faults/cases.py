"""The table of faults: how each is brought about, how it ends, how soon the robot must stand and what it says."""

from __future__ import annotations

import array
import itertools
import math
import signal
import time
from collections.abc import Callable

from geometry_msgs.msg import Twist, TwistStamped
from sensor_msgs.msg import PointCloud2

from faults.harness import (
    AGED,
    AT_ONCE,
    AT_ROBOT,
    BEST_EFFORT,
    FAST_GOAL,
    GOOD_GOAL,
    NAN_GOAL,
    PERIOD,
    RELIABLE,
    Case,
    Scene,
)
from robot_body import ACTIVATE, DEACTIVATE, Edit, edited, place, places, shifted

Step = Callable[[Scene], float]


def silent(*topics: str) -> Step:
    """Nothing on the topics any more, since their last message."""

    def inject(scene: Scene) -> float:
        for topic in topics:
            scene.body.edits[topic] = lambda message: None
        return min(scene.body.sent[topic] for topic in topics)

    return inject


def spoilt(edit: Edit, *topics: str) -> Step:
    """Bad messages on the topics from now on."""

    def inject(scene: Scene) -> float:
        scene.body.edits |= dict.fromkeys(topics, edit)
        now = time.monotonic()
        scene.body.publish()
        return now

    return inject


def honest(scene: Scene) -> float:
    """All sensors give good messages again."""
    scene.body.edits.clear()
    now = time.monotonic()
    scene.body.publish()
    return now


def ordered(order: object) -> Step:
    """A goal or targets, given once."""

    def inject(scene: Scene) -> float:
        now = time.monotonic()
        (scene.body.targets if hasattr(order, "poses") else scene.body.goals).publish(order)
        return now

    return inject


def obeyed(scene: Scene) -> float:
    """A goal and targets that can be followed."""
    now = time.monotonic()
    scene.order_good()
    return now


def offering(qos: object) -> Step:
    """The lidar is replaced by one with another quality of service."""

    def inject(scene: Scene) -> float:
        begun = scene.body.sent["scan"] if qos is BEST_EFFORT else time.monotonic()
        scene.body.offer("scan", qos)
        return begun

    return inject


def transition(number: int) -> Step:
    """A lifecycle transition, since it was asked for."""

    def inject(scene: Scene) -> float:
        now = time.monotonic()
        assert scene.body.transition(number)
        return now

    return inject


def activated_without(topic: str) -> Step:
    """Activation after the topic fell silent."""

    def inject(scene: Scene) -> float:
        assert scene.body.transition(DEACTIVATE)
        scene.body.edits[topic] = lambda message: None
        scene.body.spin(2 * PERIOD)
        return transition(ACTIVATE)(scene)

    return inject


def signalled(number: signal.Signals) -> Step:
    """The process is asked to end, which it does."""

    def inject(scene: Scene) -> float:
        now = time.monotonic()
        scene.process.send_signal(number)
        assert scene.body.until(lambda: scene.process.poll() is not None, 5), "the process goes on"
        assert scene.process.returncode == 0, f"the process ends with {scene.process.returncode}"
        return now

    return inject


def started(scene: Scene) -> float:
    """A new process."""
    now = time.monotonic()
    scene.start()
    return now


def starved(scene: Scene) -> float:
    """The process gets the processor too seldom, as on a computer with too much to do, and none once it stands."""
    body, process = scene.body, scene.process
    count = len(body.commands)
    begun = time.monotonic()
    for _ in range(10):
        process.send_signal(signal.SIGSTOP)
        body.spin(body.commands[-1][0] + 1.6 * PERIOD - time.monotonic())
        # Cycles are due at whole multiples of the period: a late one is to run now, and none before the next pause.
        body.spin(max(0.0, 0.2 * PERIOD - time.time() % PERIOD))
        process.send_signal(signal.SIGCONT)
        body.until(lambda: len(body.commands) > count, 5 * PERIOD)  # noqa: B023 - called at once
        count = len(body.commands)
        if body.stops(begun):
            break
    body.says("control cycles in a row", 1)
    process.send_signal(signal.SIGSTOP)
    return begun


def fed(scene: Scene) -> float:
    """The process gets the processor again."""
    now = time.monotonic()
    scene.process.send_signal(signal.SIGCONT)
    return now


def clock_stopped(scene: Scene) -> float:
    """``/clock`` stands still since its last message."""
    scene.body.clock_runs = False
    return scene.body.sent["/clock"]


def clock_running(scene: Scene) -> float:
    """``/clock`` goes on."""
    scene.body.clock_runs = True
    return time.monotonic()


def clock_back(scene: Scene) -> float:
    """``/clock`` falls back by 5 s, and stands still so that nothing new can come."""
    body = scene.body
    body.sim_time -= 5.0
    since = body.sent["/clock"]
    assert body.until(lambda: body.sent["/clock"] > since, 1)
    body.clock_runs = False
    return body.sent["/clock"]


def activated_without_clock(scene: Scene) -> float:
    """A node is activated that has never heard a ``/clock``."""
    signalled(signal.SIGTERM)(scene)
    scene.body.clock_runs = False
    scene.start()
    assert scene.body.says("waiting for /clock"), "the node does not start"
    assert scene.body.transition(DEACTIVATE)
    return transition(ACTIVATE)(scene)


def alternating(*frames: str) -> Edit:
    """An edit that puts messages into the ``frames`` in turn."""
    turns = itertools.cycle(frames)

    def edit(message):
        message.header.frame_id = next(turns)
        return message

    return edit


def doubled(scene: Scene) -> float:
    """A second lidar publishes on the topic of the first."""
    scene.body.double("scan", RELIABLE)
    return time.monotonic()


def single(scene: Scene) -> float:
    """It does not any more."""
    scene.body.single()
    return time.monotonic()


def mistyped(scene: Scene) -> float:
    """The lidar is replaced by one that gives another type of message."""
    begun = scene.body.sent["scan"]
    scene.body.offer("scan", RELIABLE, PointCloud2)
    return begun


def retyped(scene: Scene) -> float:
    """The lidar gives scans again."""
    scene.body.edits.clear()
    return offering(RELIABLE)(scene)


def heard_as(kind: type | None) -> Step:
    """The base listens for commands of ``kind``, or not at all."""

    def inject(scene: Scene) -> float:
        now = time.monotonic()
        scene.body.listen_to(kind)
        return now

    return inject


def clock_set(seconds: float) -> Step:
    """The computer's clock is set, which is that of the sensors, too."""

    def inject(scene: Scene) -> float:
        offset = scene.wall_clock.offset + seconds
        scene.wall_clock.set(offset)
        scene.body.offset = offset
        return time.monotonic()

    return inject


def nothing(scene: Scene) -> float:
    """It mends itself."""
    return time.monotonic()


def _sensor(name: str, inject: Step, limit: float, counted: str, text: str) -> Case:
    return Case(name=name, inject=inject, recover=honest, limit=limit, counted=f"stops_{counted}", text=text)


def _malformed(name: str, topic: str, text: str, **values: object) -> Case:
    return _sensor(name, spoilt(edited(**values), topic), AT_ONCE, "malformed_input", text)


def _order(name: str, order: object, counted: str, text: str) -> Case:
    return Case(
        name=name,
        inject=ordered(order),
        recover=obeyed,
        limit=AT_ONCE,
        counted=f"stops_{counted}",
        text=text,
    )


TOPICS = ("scan", "odom", "range_1", "neighbors")
NAN, INF = math.nan, math.inf
HALF_BLIND = array.array("f", [NAN] * 200 + [1.0] * 160)

CASES = [
    *(
        _sensor(f"{topic} silent", silent(topic), AGED, "stale_input", rf"{topic} (for|was stamped) 0\.")
        for topic in TOPICS
    ),
    _sensor("all sensors silent", silent(*TOPICS), AGED, "stale_input", r"(for|was stamped) 0\."),
    *(
        _sensor(f"{topic} stamped late", spoilt(shifted(-5), topic), AT_ONCE, "stale_input", f"{topic} was stamped 5")
        for topic in TOPICS
    ),
    *(
        _sensor(f"{topic} from the future", spoilt(shifted(5), topic), AT_ONCE, "future_input", "s in the future")
        for topic in TOPICS
    ),
    Case(
        name="scan missing since activation",
        inject=activated_without("scan"),
        recover=honest,
        limit=AGED,
        counted="stops_missing_input",
        text="nothing received on",
    ),
    Case(
        name="scan with incompatible QoS",
        inject=offering(BEST_EFFORT),
        recover=offering(RELIABLE),
        limit=AGED,
        counted="stops_stale_input",
        text=r"a publisher there has an incompatible QoS \(reliability\)",
    ),
    _malformed("scan without beams", "scan", "no beams", ranges=array.array("f")),
    _malformed("scan cut short", "scan", "sees nothing at", ranges=array.array("f", [2.0] * 180)),
    _malformed("scan mostly NaN", "scan", "200 of 360 beams of scan are invalid", ranges=HALF_BLIND),
    _malformed("scan angles NaN", "scan", "must be finite", angle_min=NAN),
    _malformed("scan limits NaN", "scan", "range_max nan", range_max=NAN),
    _sensor(
        "range sensors mostly NaN",
        spoilt(edited(range=NAN), "range_0", "range_1"),
        AT_ONCE,
        "malformed_input",
        "2 of 3 range sensors give NaN",
    ),
    _malformed("range too short", "scan", "scan sees 2 m far, the policy was trained to see 3.5 m", range_max=2.0),
    Case(
        name="range_max infinite",
        inject=spoilt(edited(range_max=INF), "scan"),
        recover=honest,
        limit=AGED,
        harmless=True,
    ),
    _sensor(
        "scan too old for the guard",
        spoilt(edited(scan_time=2.0), "scan"),
        AT_ONCE,
        "stale_input",
        "too old for the scan guard",
    ),
    _sensor(
        "frame differs",
        spoilt(alternating("front_lidar", "rear_lidar"), "scan"),
        AGED,
        "mixed_input",
        "several devices in turn, in the frames 'front_lidar' and 'rear_lidar'",
    ),
    Case(
        name="two publishers",
        inject=doubled,
        recover=single,
        limit=AGED,
        counted="stops_mixed_input",
        text="scan comes from several publishers in turn",
    ),
    Case(
        name="wrong type in",
        inject=mistyped,
        recover=retyped,
        limit=AGED,
        counted="stops_stale_input",
        text="a publisher there has the type sensor_msgs/msg/PointCloud2 instead of sensor_msgs/msg/LaserScan",
    ),
    Case(
        name="wrong type out",
        inject=heard_as(TwistStamped),
        recover=heard_as(Twist),
        limit=AGED,
        warns=True,
        text="cmd_vel has the type geometry_msgs/msg/TwistStamped instead of geometry_msgs/msg/Twist",
    ),
    Case(
        name="nobody listens",
        inject=heard_as(None),
        recover=heard_as(Twist),
        limit=AGED,
        warns=True,
        text="nobody subscribes to /.*cmd_vel",
    ),
    _malformed("odom position NaN", "odom", "not finite", pose__pose__position__x=NAN),
    _malformed("odom velocity infinite", "odom", "not finite", twist__twist__angular__z=INF),
    _malformed("odom velocity beyond float32", "odom", "not finite", twist__twist__linear__x=1e300),
    _malformed("odom orientation no rotation", "odom", "unit quaternion", pose__pose__orientation__w=0.0),
    _malformed("odom in another frame", "odom", "odom is in 'odom'", header__frame_id="odom"),
    _malformed("neighbors in another frame", "neighbors", "in the robot's frame", header__frame_id="map"),
    _malformed("neighbors NaN", "neighbors", "not finite", poses=places((NAN, 0.0)).poses),
    _order("goal in another frame", place(*GOOD_GOAL, frame="odom"), "malformed_input", "goal_pose is in frame 'odom'"),
    _order("goal NaN", place(NAN, 0.0), "malformed_input", "give finite metres"),
    _order("targets in another frame", places(AT_ROBOT, frame="odom"), "malformed_input", "targets is in frame 'odom'"),
    _order("targets NaN", places(AT_ROBOT, (NAN, 0.0)), "malformed_input", "give finite metres"),
    _order("policy output NaN", place(*NAN_GOAL), "policy_output", "which is not finite"),
    _order("policy output out of bounds", place(*FAST_GOAL), "policy_output", "outside its action space"),
    Case(
        name="deadlines missed",
        inject=starved,
        recover=fed,
        limit=AGED,
        counted="stops_missed_deadline",
        text="3 control cycles in a row were later",
        whole_process=True,
    ),
    Case(
        name="deactivated",
        inject=transition(DEACTIVATE),
        recover=transition(ACTIVATE),
        limit=AT_ONCE,
        text="inactive",
    ),
    *(
        Case(name=number.name, inject=signalled(number), recover=started, limit=AT_ONCE, whole_process=True)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    ),
    Case(
        name="wall clock +1 h",
        inject=clock_set(3600.0),
        recover=nothing,
        limit=AT_ONCE,
        counted="stops_clock_jumped_ahead",
        text="the clock was set ahead by 3600",
        sets_clock=True,
    ),
    Case(
        name="wall clock -1 h",
        inject=clock_set(-3600.0),
        recover=nothing,
        limit=AT_ONCE,
        counted="stops_clock_jumped_back",
        text="ROS time jumped back by 3600",
        sets_clock=True,
    ),
    Case(
        name="clock stopped",
        inject=clock_stopped,
        recover=clock_running,
        limit=AGED,
        counted="stops_clock_stopped",
        text="/clock has not advanced",
        sim_time=True,
    ),
    Case(
        name="clock jumped back",
        inject=clock_back,
        recover=clock_running,
        limit=AT_ONCE,
        counted="stops_clock_jumped_back",
        text="ROS time jumped back by",
        sim_time=True,
    ),
    Case(
        name="clock negative",
        inject=spoilt(edited(clock__sec=-5), "/clock"),  # before zero is no time
        recover=honest,
        limit=AT_ONCE,
        counted="stops_clock_invalid",
        text="/clock says -5 s",
        sim_time=True,
    ),
    Case(
        name="clock missing since activation",
        inject=activated_without_clock,
        recover=clock_running,
        limit=AGED,
        text="waiting for /clock",
        sim_time=True,
        whole_process=True,
    ),
]
assert len({case.name for case in CASES}) == len(CASES)
