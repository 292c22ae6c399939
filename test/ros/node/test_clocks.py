"""Who publishes /clock is found before anything of ours does."""

from rosgraph_msgs.msg import Clock

from kdmarl_ros.node.clocks import clock_publishers
from node_process import DOMAIN, Client


def test_publishers_of_the_clock_are_named(monkeypatch):
    monkeypatch.setenv("ROS_DOMAIN_ID", str(DOMAIN))
    assert clock_publishers(0.5) == []
    client = Client()
    try:
        client.node.create_publisher(Clock, "/clock", 1)
        assert clock_publishers(10.0) == [client.node.get_fully_qualified_name()]
    finally:
        client.close()
