"""A picture of a scan around its robot, with the robot's front marked: is the lidar mounted as the file says?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sensor_msgs.msg import LaserScan

from kdmarl_core.contract import RobotType
from kdmarl_core.doctor.findings import Finding
from kdmarl_core.runtime.faults import Fault
from kdmarl_ros.sensors.lidar import to_scan


def save_scan(path: Path, message: LaserScan, robot: RobotType) -> Finding:
    """Draw a scan in the robot frame, as the policy and the scan guard take it."""
    if robot.sensors.lidar is None:
        return Finding("warn", "no picture: the robot type has no lidar")
    try:
        from matplotlib.figure import Figure  # a robot needs none
    except ModuleNotFoundError:
        return Finding("warn", "no picture: matplotlib is not installed; pip install matplotlib")
    try:
        scan = to_scan(message, robot.sensors.lidar)
    except Fault as fault:
        return Finding("warn", f"no picture: {fault.reason}")
    angles = scan.angle_min + scan.angle_increment * np.arange(scan.ranges.size)
    seen = np.isfinite(scan.ranges) & (scan.ranges <= scan.range_max)
    figure = Figure(figsize=(6, 6))
    axes = figure.add_subplot(aspect="equal", xlabel="ahead [m]", ylabel="to the left [m]")
    x, y = scan.x + scan.ranges * np.cos(angles), scan.y + scan.ranges * np.sin(angles)
    axes.plot(x[seen], y[seen], ".", markersize=3, label="seen")
    around = np.linspace(0, 2 * np.pi, 100)
    axes.plot(robot.radius * np.cos(around), robot.radius * np.sin(around), "k", label="robot")
    axes.annotate("", (2.5 * robot.radius, 0), (0, 0), arrowprops={"arrowstyle": "->"})
    axes.text(2.6 * robot.radius, 0, "front", va="center")
    axes.plot(scan.x, scan.y, "r+", label="lidar")
    axes.legend(loc="upper right")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=120, bbox_inches="tight")
    except OSError as error:
        return Finding("fail", f"{path} cannot be written: {error.strerror}; choose another --picture")
    return Finding("ok", f"{path}: hold something before the robot, and see that it is ahead in the picture")
