"""Restricts the communication of the tests' nodes to this machine."""

from pathlib import Path

LOOPBACK = {
    "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET",  # with LOCALHOST, Fast DDS would not obey its file
    "FASTDDS_DEFAULT_PROFILES_FILE": str(Path(__file__).with_name("loopback.xml")),
}
"""Environment of every process with nodes."""
