"""Where a robot is while its odometry drifts: by a localisation's topic, or by tf, here a stand-in for ``tf2_ros``."""

import math
import sys
import time

import pytest
from geometry_msgs.msg import PoseWithCovarianceStamped
from nav_msgs.msg import Odometry
from rclpy.qos import DurabilityPolicy, QoSProfile

from kdmarl_core.contract import KdmarlError
from kdmarl_core.contract.planar import Planar
from kdmarl_core.contract.sensors.base import Mounting
from kdmarl_core.runtime.faults import Cause, Fault
from kdmarl_ros.node.transforms import Transforms
from kdmarl_ros.robot.localisation import JUMP, LONGEST_WAY, ByOdometry, ByPose, ByTransforms
from node_process import Client
from policy_process import policy_process
from robot_body import posed
from tf_stand_in import tf_stand_in, transform

DRIFT = Planar(1.0, -2.0, 0.7)
"""Where the frame of the odometry is in the map."""


def odometry(place, seconds=1.0, frame="odom"):
    message = posed(Odometry(), place, seconds, frame)
    message.child_frame_id = "base"
    return message


def pose(place, seconds=1.0, frame="map"):
    return posed(PoseWithCovarianceStamped(), place, seconds, frame)


def near(found, expected):
    return found.differs(expected) == pytest.approx((0, 0), abs=1e-6)


def test_odometry_alone_is_in_the_frame_of_the_goal():
    assert near(ByOdometry()("goal_pose", "odom", odometry(Planar(1, 2, 3)), 0), Planar(1, 2, 3))
    with pytest.raises(Fault, match="goal_pose is in frame 'map', odom is in 'odom'; give it in the frame of odom"):
        ByOdometry()("goal_pose", "map", odometry(Planar()), 0)


class TestByPose:
    @pytest.fixture
    def by_pose(self):
        client = Client()
        found = ByPose(client.node)
        yield found
        found.destroy()
        client.close()

    def drive(self, by_pose, start=0.0, end=3.0, speed=0.5):
        """Along the x axis of odometry; the newest message."""
        for tenth in range(round(start * 10), round(end * 10) + 1):
            message = odometry(Planar(tenth / 10 * speed), tenth / 10)
            by_pose.remember(message)
        return message

    def test_a_pose_that_comes_late_is_joined_with_the_odometry_of_its_time(self, by_pose):
        newest = self.drive(by_pose)
        by_pose.hear(pose(DRIFT @ Planar(0.5), 1.0))
        assert near(by_pose("goal_pose", "map", newest, 0), DRIFT @ Planar(1.5))
        # Between two poses odometry carries on.
        newest = self.drive(by_pose, 3.0, 4.0)
        assert near(by_pose("goal_pose", "map", newest, 0), DRIFT @ Planar(2.0))

    def test_without_a_pose_it_is_not_known_where_the_robot_is(self, by_pose):
        with pytest.raises(Fault, match="nothing received on /pose; check that the localisation runs") as error:
            by_pose("goal_pose", "map", self.drive(by_pose), 0)
        assert error.value.cause is Cause.MISSING

    def test_a_pose_is_joined_when_it_comes_whether_or_not_there_is_a_goal(self, by_pose):
        self.drive(by_pose, end=1.0)
        by_pose.hear(pose(DRIFT @ Planar(0.5), 1.0))
        newest = self.drive(by_pose, 1.0, 60.0)
        with pytest.raises(Fault, match="no pose on /pose for 29.5 m of driving"):
            by_pose("goal_pose", "map", newest, 0)

    def test_a_pose_of_another_time_is_left_out_once_one_is_known(self, by_pose):
        self.drive(by_pose, end=1.0)
        by_pose.hear(pose(DRIFT @ Planar(0.5), 1.0))
        newest = self.drive(by_pose, 1.0, 2.0)
        by_pose.hear(pose(Planar(9, 9), 8.0))
        assert near(by_pose("goal_pose", "map", newest, 0), DRIFT @ Planar(1.0))

    def test_a_pose_from_before_the_odometry_is_taken_as_the_first(self, by_pose):
        by_pose.hear(pose(DRIFT, 0.0))
        newest = self.drive(by_pose, 100.0, 100.5)
        # Odometry begins at 50 m, where the pose is taken to have been.
        assert near(by_pose("goal_pose", "map", newest, 0), DRIFT @ Planar(0.25))

    def test_poses_without_a_stamp_are_new_ones_all_the_same(self, by_pose):
        newest = self.drive(by_pose, end=0.1)
        for place in (Planar(1.0), Planar(1.2)):
            by_pose.hear(pose(place, 0.0))
        assert near(by_pose("goal_pose", "map", newest, 0), Planar(1.25))

    @pytest.mark.parametrize("restart", [odometry(Planar(), 3.1), odometry(Planar(1.5), 1.0)])
    def test_odometry_that_begins_again_needs_a_new_pose(self, by_pose, restart):
        newest = self.drive(by_pose)
        by_pose.hear(pose(DRIFT @ Planar(1.5), 3.0))
        by_pose("goal_pose", "map", newest, 0)
        by_pose.remember(restart)
        with pytest.raises(Fault, match="nothing received on /pose"):
            by_pose("goal_pose", "map", restart, 0)

    def test_goals_are_in_the_frame_of_the_poses(self, by_pose):
        newest = self.drive(by_pose)
        by_pose.hear(pose(DRIFT))
        with pytest.raises(Fault, match="goal_pose is in frame 'odom', pose is in 'map'"):
            by_pose("goal_pose", "odom", newest, 0)

    def test_it_does_not_drive_far_without_a_pose(self, by_pose):
        by_pose.hear(pose(DRIFT, 0.0))
        newest = self.drive(by_pose, end=2 * LONGEST_WAY)
        assert by_pose("goal_pose", "map", newest, 0)
        newest = self.drive(by_pose, 2 * LONGEST_WAY, 2 * LONGEST_WAY + 0.5)
        with pytest.raises(Fault, match="no pose on /pose for 2.2 m of driving, at most 2 m") as error:
            by_pose("goal_pose", "map", newest, 0)
        assert error.value.cause is Cause.STALE
        by_pose.hear(pose(DRIFT @ Planar(2.25), 4.5))
        assert by_pose("goal_pose", "map", newest, 0)

    @pytest.mark.parametrize("jump", [Planar(JUMP[0] + 0.1), Planar(yaw=JUMP[1] + 0.1)])
    def test_a_jump_stops_the_robot_once(self, by_pose, jump):
        newest = self.drive(by_pose)
        by_pose.hear(pose(DRIFT @ Planar(1.5), 3.0))
        by_pose("goal_pose", "map", newest, 0)
        elsewhere = DRIFT @ Planar(1.5) @ jump
        by_pose.hear(pose(elsewhere, 3.01))
        with pytest.raises(Fault, match="the pose in 'map' jumped by ") as error:
            by_pose("goal_pose", "map", newest, 0)
        assert error.value.cause is Cause.POSE_JUMPED
        assert near(by_pose("goal_pose", "map", newest, 0), elsewhere)

    @pytest.mark.parametrize(
        ("bad", "words"),
        [(Planar(math.nan), "pose holds "), (Planar(1e12), "pose holds "), (Planar(yaw=math.inf), "unit quaternion")],
    )
    def test_poses_that_make_no_sense(self, by_pose, bad, words):
        message = pose(Planar() if math.isinf(bad.yaw) else bad)
        if math.isinf(bad.yaw):
            message.pose.pose.orientation.w = 7.0
        newest = self.drive(by_pose)
        by_pose.hear(message)
        with pytest.raises(Fault, match=words) as error:
            by_pose("goal_pose", "map", newest, 0)
        assert error.value.cause is Cause.MALFORMED

    def test_odometry_that_makes_no_sense_is_left_to_those_who_use_it(self, by_pose):
        by_pose.remember(odometry(Planar(math.nan)))
        assert not by_pose._odometry


class TestByTransforms:
    @pytest.fixture
    def tf(self, monkeypatch):
        known = tf_stand_in(monkeypatch)
        transforms = Transforms(None)
        return ByTransforms(transforms, 0.5), known

    def test_the_pose_is_in_any_frame_that_tf_connects(self, tf):
        by_tf, known = tf
        known["map", "odom"] = transform(DRIFT)
        assert near(by_tf("goal_pose", "map", odometry(Planar(2, 1, 0.1)), 10**9), DRIFT @ Planar(2, 1, 0.1))
        assert near(by_tf("goal_pose", "odom", odometry(Planar(2, 1, 0.1)), 10**9), Planar(2, 1, 0.1))

    def test_frames_that_nobody_connects(self, tf):
        by_tf, _ = tf
        with pytest.raises(Fault, match="tf does not connect 'mars', in which goal_pose is, with 'odom'") as error:
            by_tf("goal_pose", "mars", odometry(Planar()), 0)
        assert error.value.cause is Cause.MISSING
        with pytest.raises(Fault, match="goal_pose names no frame; give one that tf knows"):
            by_tf("goal_pose", "", odometry(Planar()), 0)

    def test_old_transforms_stop_the_robot_unless_they_are_static(self, tf):
        by_tf, known = tf
        known["map", "odom"] = transform(DRIFT, 1.0)
        assert by_tf("goal_pose", "map", odometry(Planar()), 1_400_000_000)
        with pytest.raises(Fault, match="tf from 'map' to 'odom' is 0.60 s old") as error:
            by_tf("goal_pose", "map", odometry(Planar()), 1_600_000_000)
        assert error.value.cause is Cause.STALE
        known["map", "odom"] = transform(DRIFT, 0.0)
        assert by_tf("goal_pose", "map", odometry(Planar()), 1_600_000_000)
        known["map", "odom"] = transform(DRIFT, 10.0)
        with pytest.raises(Fault, match="was stamped 8.40 s in the future"):
            by_tf("goal_pose", "map", odometry(Planar()), 1_600_000_000)

    def test_a_jump_stops_the_robot_once(self, tf):
        by_tf, known = tf
        known["map", "odom"] = transform(DRIFT)
        by_tf("goal_pose", "map", odometry(Planar()), 0)
        known["map", "odom"] = transform(DRIFT @ Planar(1.0))
        with pytest.raises(Fault, match="jumped by 1.00 m and 0.00 rad"):
            by_tf("goal_pose", "map", odometry(Planar()), 0)
        assert by_tf("goal_pose", "map", odometry(Planar()), 0)

    @pytest.mark.parametrize(
        ("mounting", "fits"),
        [
            (Mounting(x=-0.04, yaw=1.57), True),
            (Mounting(x=-0.04, yaw=1.57 - 2 * math.pi), True),
            (Mounting(x=0.04, yaw=1.57), False),
            (Mounting(x=-0.04), False),
            (Mounting(x=-0.04, yaw=1.57, upside_down=True), False),
        ],
    )
    @pytest.mark.parametrize("upside_down", [False, True])
    def test_a_mounting_that_tf_contradicts_is_named(self, tf, mounting, fits, upside_down):
        by_tf, known = tf
        by_tf.check_mounting("scan", "base", "laser", mounting)  # tf does not know it, or not yet
        known["base", "laser"] = transform(Planar(-0.04, 0.0, 1.57), roll=math.pi if upside_down else 0.0)
        if upside_down:
            fits = mounting == Mounting(x=-0.04, yaw=1.57, upside_down=True)
        if fits:
            by_tf.check_mounting("scan", "base", "laser", mounting)
            return
        with pytest.raises(Fault, match="scan: tf has 'laser' at x -0.040 m, .* correct one of both"):
            by_tf.check_mounting("scan", "base", "laser", mounting)

    def test_without_tf_the_remedy_is_named(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "tf2_ros", None)
        with pytest.raises(KdmarlError, match="tf2_ros cannot be imported .* or give 'pose' or 'odom'"):
            Transforms(None)


def test_a_node_drives_by_a_localisation_in_another_frame(robot, policy):
    """The goal is in the map, as a localisation is that spoke before the node came up; odometry is in its own frame."""
    robot.edits["odom"] = own_frame
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    publisher = robot.node.create_publisher(PoseWithCovarianceStamped, "/r1/pose", latched)
    with policy_process(policy, pose_source="pose", goal_frame="map"):
        assert robot.says("nothing received on /r1/pose")
        publisher.publish(pose(Planar(1.0, 2.0, math.pi / 2), time.time()))
        assert robot.drives()
        publisher.publish(pose(Planar(9.0, 2.0, math.pi / 2), time.time()))
        assert robot.until(lambda: robot.stop_counts()["stops_pose_jumped"] == "1")
        assert robot.drives()
    robot.node.destroy_publisher(publisher)


def own_frame(message):
    message.header.frame_id = "r1/odom"
    return message


def test_a_node_without_tf_says_so(robot, policy):
    with policy_process(policy, pose_source="tf"):
        assert robot.says("tf2_ros cannot be imported")


def test_pose_sources_are_known(policy):
    with policy_process(policy, pose_source="gps") as process:
        assert process.wait(timeout=20) == 2
