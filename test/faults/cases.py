"""The table of faults: how each is brought about, how it ends, how soon the robot must stand and what it says."""

from __future__ import annotations

import array
import math
import signal

from geometry_msgs.msg import Twist, TwistStamped

from faults.harness import (
    AGED,
    AT_ONCE,
    AT_ROBOT,
    BEST_EFFORT,
    FAST_GOAL,
    GOOD_GOAL,
    NAN_GOAL,
    RELIABLE,
)
from faults.steps import (
    Step,
    activated_without,
    activated_without_clock,
    alternating,
    clock_back,
    clock_running,
    clock_set,
    clock_stopped,
    doubled,
    fed,
    heard_as,
    honest,
    mistyped,
    nothing,
    obeyed,
    offering,
    ordered,
    retyped,
    signalled,
    silent,
    single,
    spoilt,
    started,
    starved,
    transition,
)
from faults.trials import Case
from robot_body import ACTIVATE, DEACTIVATE, edited, place, places, shifted


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
    _malformed("scan cut short", "scan", "scan looks from -3.14 to -0.02 rad", ranges=array.array("f", [2.0] * 180)),
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
        alternating("scan", "front_lidar", "rear_lidar"),
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
