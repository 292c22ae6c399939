"""Where the others are, by their own poses: near ones, fresh ones, in the robot's own frame."""

import math
import time

import pytest
from geometry_msgs.msg import PoseArray, PoseWithCovarianceStamped
from nav_msgs.msg import Odometry
from rclpy.qos import qos_profile_sensor_data

from kdmarl_core.contract.planar import Planar
from node_process import Client, python_process, ros_arguments
from robot_body import posed

PEERS = ["r2", "fleet/r3", "r4"]


class Others(Client):
    """Publishes where robots are, and hears what r1 is told."""

    def __init__(self, kind, topic):
        super().__init__()
        self.places = {"r1": Planar(1.0, 1.0, math.pi / 2), "r2": Planar(1.0, 3.0, math.pi), "r4": Planar(9.0, 9.0)}
        self.frames = {}
        self.listen(PoseArray, "/r1/neighbors", qos_profile_sensor_data)
        publishers = {
            name: self.node.create_publisher(kind, f"/{name}/{topic}", qos_profile_sensor_data)
            for name in ("r1", *PEERS)
        }

        def tell():
            for name, place in self.places.items():
                message = posed(kind(), place, time.time(), self.frames.get(name, "map"))
                if kind is Odometry:
                    message.child_frame_id = f"{name}/base_link"
                publishers[name].publish(message)

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


@pytest.fixture(params=[(Odometry, "odom"), (PoseWithCovarianceStamped, "pose")], ids=["odom", "pose"])
def others(request):
    kind, topic = request.param
    client = Others(kind, topic)
    frame = {} if topic == "odom" else {"base_frame": "r1/base_link"}
    parameters = {"__ns": "/r1", "peers": PEERS, "source": topic, "range": 5.0, "timeout": 0.3, **frame}
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
        ({"source": "gps"}, "parameter 'source' is 'gps'; give odom or pose"),
        ({"source": "pose"}, "parameter 'base_frame' is empty"),
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
