"""Makes messages of single range sensors from Gazebo's: there, each is a small lidar across the sensor's cone."""

from __future__ import annotations

import time
from functools import partial
from typing import NoReturn

import numpy as np
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.publisher import Publisher
from sensor_msgs.msg import LaserScan, Range

from kdmarl_core.contract import KdmarlError, load_swarm
from kdmarl_core.gazebo.topics import range_topics
from kdmarl_ros.node.parameters import read_names, read_parameter, refuse_unknown
from kdmarl_ros.node.process import leave, run, spinning
from kdmarl_ros.node.qos import SENSOR_QOS


class RangesNode(Node):
    """Hears the scans of all robots' range sensors, and publishes the nearest of each as a ``Range``."""

    def __init__(self) -> None:
        """Read the parameters and subscribe.

        Raises:
            KdmarlError: a parameter or the swarm file does not fit.
        """
        super().__init__("ranges")
        path = read_parameter(self, "swarm", Parameter.Type.STRING, "swarm file (YAML)")
        names = read_names(self, "robots", "names of the robots; empty for all")
        refuse_unknown(self)
        if not path:
            raise KdmarlError("parameter 'swarm' is not set; give the path of a swarm file")
        swarm = load_swarm(path, allow_outside=True)  # runs none of its files; the plan was checked
        for robot in (swarm.only(names) if names else swarm).robots:
            ring = swarm.robot_type(robot).sensors.range_sensors
            for topic in range_topics(swarm, robot):
                name = f"/{robot.name}/{topic}"
                publisher = self.create_publisher(Range, name, SENSOR_QOS)
                tell = partial(self._tell, publisher, ring.fov if ring else 0.0)
                self.create_subscription(LaserScan, f"{name}/scan", tell, SENSOR_QOS)

    @staticmethod
    def _tell(publisher: Publisher, fov: float, scan: LaserScan) -> None:
        message = Range(radiation_type=Range.INFRARED, field_of_view=fov)
        message.header, message.min_range, message.max_range = scan.header, scan.range_min, scan.range_max
        message.range = nearest(scan)
        publisher.publish(message)


def nearest(scan: LaserScan) -> float:
    """The nearest distance of a scan [m]: inf where nothing is seen, -inf where it is too near to be measured."""
    ranges = np.frombuffer(scan.ranges, np.float32)
    seen = ranges[~np.isnan(ranges)]
    return float(seen.min()) if seen.size else float("nan")


def main(args: list[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM; exit code 2 when it cannot start."""

    def work() -> int:
        with spinning(RangesNode()):
            while True:
                time.sleep(1)

    return run(work, args)


def command() -> NoReturn:
    """The console script: :func:`main`, then the end of the process."""
    leave(main())


if __name__ == "__main__":
    command()
