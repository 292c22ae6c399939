"""A picture of a scan around its robot, with the robot's front marked: is the lidar mounted as the file says?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kdmarl_core.contract import RobotType
from kdmarl_core.doctor.findings import Finding
from kdmarl_core.runtime.faults import Fault
from kdmarl_ros.sensors import topics_of
from kdmarl_ros.sensors.lidar import to_scan


def save_scan(path: Path, latest: Mapping[str, Any], robot: RobotType) -> Finding:
    """Draw the scans among the ``latest`` messages, by topic, in the robot frame, as the policy takes them."""
    lidars = robot.sensors.of_kind("lidar")
    if not lidars:
        return Finding("warn", "no picture: the robot type has no lidar")
    try:
        from matplotlib.figure import Figure  # a robot needs none
    except ModuleNotFoundError:
        return Finding("warn", "no picture: matplotlib is not installed; pip install matplotlib")
    figure = Figure(figsize=(6, 6))
    axes = figure.add_subplot(aspect="equal", xlabel="ahead [m]", ylabel="to the left [m]")
    for name, sensor in lidars.items():
        (topic,) = topics_of(name)
        if latest.get(topic) is None:
            continue
        try:
            scan = to_scan(latest[topic], sensor, topic=topic)
        except Fault as fault:
            return Finding("warn", f"no picture: {fault.reason}")
        angles = scan.angle_min + scan.angle_increment * np.arange(scan.ranges.size)
        seen = np.isfinite(scan.ranges) & (scan.ranges <= scan.range_max)
        x, y = scan.x + scan.ranges * np.cos(angles), scan.y + scan.ranges * np.sin(angles)
        (dots,) = axes.plot(x[seen], y[seen], ".", markersize=3, label=topic)
        axes.plot(scan.x, scan.y, "+", color=dots.get_color())
    around = np.linspace(0, 2 * np.pi, 100)
    axes.plot(robot.radius * np.cos(around), robot.radius * np.sin(around), "k", label="robot")
    axes.annotate("", (2.5 * robot.radius, 0), (0, 0), arrowprops={"arrowstyle": "->"})
    axes.text(2.6 * robot.radius, 0, "front", va="center")
    axes.legend(loc="upper right")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=120, bbox_inches="tight")
    except OSError as error:
        return Finding("fail", f"{path} cannot be written: {error.strerror}; choose another --picture")
    return Finding("ok", f"{path}: hold something before the robot, and see that it is ahead in the picture")
