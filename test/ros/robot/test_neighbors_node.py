"""Where the others are, by their own poses: near ones, fresh ones, in the robot's own frame."""

import math
import time

import pytest
from geometry_msgs.msg import PoseArray, PoseWithCovarianceStamped
from nav_msgs.msg import Odometry
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data

from kdmarl_core.contract.planar import Planar
from kdmarl_ros.robot.peers import ByFrames
from node_process import Client, python_process, ros_arguments
from robot_body import posed
from tf_stand_in import tf_stand_in, transform

PEERS = ["r2", "fleet/r3", "r4"]
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


DRIFT = Planar(0.5, -1.0, 0.3)
"""Where the frame of a robot's odometry is, if it is not the map."""


class Others(Client):
    """Publishes where robots are, and receives the neighbors of r1.

    With ``drifting`` odometry, localisations say where a robot is when that changes, as AMCL does.
    """

    def __init__(self, drifting):
        super().__init__()
        self.places = {"r1": Planar(1.0, 1.0, math.pi / 2), "r2": Planar(1.0, 3.0, math.pi), "r4": Planar(9.0, 9.0)}
        self.frames = {}
        self.listen(PoseArray, "/r1/neighbors", qos_profile_sensor_data)
        odometry, poses = (
            {name: self.node.create_publisher(kind, f"/{name}/{topic}", qos) for name in ("r1", *PEERS)}
            for kind, topic, qos in (
                (Odometry, "odom", qos_profile_sensor_data),
                (PoseWithCovarianceStamped, "pose", LATCHED),
            )
        )
        said = {}

        def tell():
            for name, place in self.places.items():
                frame = self.frames.get(name, "map")
                if drifting and (said.get(name) != (place, frame)):
                    said[name] = place, frame
                    poses[name].publish(posed(PoseWithCovarianceStamped(), place, time.time(), frame))
                own = DRIFT.inverse @ place if drifting else place
                message = posed(Odometry(), own, time.time(), f"{name}/odom" if drifting else frame)
                message.child_frame_id = f"{name}/base_link"
                odometry[name].publish(message)

        self.node.create_timer(0.05, tell)

    def told(self, *places):
        """Whether r1 is told exactly these places."""

        def as_told():
            heard = self.on("/r1/neighbors")
            if not heard or len(heard[-1].poses) != len(places):
                return False
            found = [
                Planar(p.position.x, p.position.y, 2 * math.atan2(p.orientation.z, p.orientation.w))
                for p in heard[-1].poses
            ]
            return all(max(one.differs(other)) < 1e-6 for one, other in zip(found, places, strict=True))

        return self.until(as_told, 10)


@pytest.fixture(params=["odom", "pose"])
def others(request):
    client = Others(request.param == "pose")
    parameters = {"__ns": "/r1", "peers": PEERS, "source": request.param, "range": 5.0, "timeout": 0.3}
    with python_process(["-m", "kdmarl_ros.robot.neighbors_node", *ros_arguments(parameters)]):
        yield client
    client.close()


def test_those_who_are_near_are_told_in_the_frame_of_the_robot(others):
    ahead = Planar(2.0, 0.0, math.pi / 2)
    assert others.told(ahead)
    assert others.on("/r1/neighbors")[-1].header.frame_id == "r1/base_link"
    others.places["fleet/r3"] = Planar(0.0, 1.0, math.pi / 2)
    assert others.told(ahead, Planar(0.0, 1.0, 0.0))
    others.frames["r2"] = "another"
    assert others.told(Planar(0.0, 1.0, 0.0))
    others.frames.clear()
    others.places["r2"] = Planar(math.nan)
    assert others.told(Planar(0.0, 1.0, 0.0))
    del others.places["r2"], others.places["fleet/r3"]
    assert others.told()
    before = len(others.on("/r1/neighbors"))
    del others.places["r1"]
    others.spin(1.0)
    silent = len(others.on("/r1/neighbors"))
    assert silent - before <= 4
    others.spin(0.5)
    assert len(others.on("/r1/neighbors")) == silent


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"source": "gps"}, "parameter 'source' is 'gps'; give odom, pose or tf"),
        ({"source": "tf"}, "parameter 'base_frame' is empty"),
        ({"source": "tf", "base_frame": "base_link"}, "tf2_ros cannot be imported"),
        ({"peers": ["r1"]}, "run it in its robot's namespace, among others"),
        ({"__ns": "/"}, "run it in its robot's namespace"),
        ({"rnge": 3.0}, "has no parameter 'rnge'; did you mean 'range'?"),
    ],
)
def test_parameters_that_do_not_fit(tmp_path, parameters, words):
    given = {"__ns": "/r1", "peers": ["r2"]} | parameters
    arguments = ["-m", "kdmarl_ros.robot.neighbors_node", *ros_arguments(given)]
    with open(tmp_path / "log", "w") as log, python_process(arguments, log) as process:
        assert process.wait(timeout=20) == 2
    assert words in (tmp_path / "log").read_text()


def test_frames_of_tags_that_are_seen_now(monkeypatch):
    """A stand-in for tf2_ros: its buffer knows one robot's frame by a tag that is seen, and another's that was."""
    known = tf_stand_in(monkeypatch)
    client = Client()
    seen = ByFrames(client.node, "base_link", ["by_tag_2", "by_tag_3", "by_tag_4"], 0.5)
    now = client.node.get_clock().now().nanoseconds / 1e9
    known["base_link", "by_tag_2"] = transform(Planar(1.0, 0.2, 3.0), now - 0.2)
    known["base_link", "by_tag_3"] = transform(Planar(2.0, 0.2), now - 2.0)
    frame, (place,) = seen()
    assert frame == "base_link"
    assert place.differs(Planar(1.0, 0.2, 3.0)) == pytest.approx((0, 0), abs=1e-6)
    known["base_link", "by_tag_2"] = transform(Planar(math.nan), now)
    assert seen() == ("base_link", [])
    known["base_link", "by_tag_2"] = transform(Planar(1.0), now + 3600)
    assert seen() == ("base_link", [])
    known.clear()
    assert seen() is None
    client.close()
