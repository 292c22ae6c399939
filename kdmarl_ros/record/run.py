"""The whole of ``kdmarl-swarm replay``: from a recording to a table and an exit code."""

from __future__ import annotations

import csv
from pathlib import Path

import rclpy
from rclpy.node import Node
from rclpy.parameter import Parameter
from rich.console import Console

from kdmarl_core.contract.writing import replacing
from kdmarl_ros.node.process import initialise
from kdmarl_ros.record.replay import Row, replay, summary
from kdmarl_ros.swarm.plan import load_checked_swarm

AXES = ("forward", "left", "yaw_rate")


def drive_over(
    bag: Path, file: Path, robot: str, policy: Path | None, scan_guard: bool, output: Path | None, allow_outside: bool
) -> int:
    """Replay a recording of one robot, print what differs, and write all cycles to ``output`` (.csv), if given.

    Raises:
        KdmarlError: the recording, the swarm file or the policy does not fit, or the table cannot be written.
    """
    swarm = load_checked_swarm(file, [robot], allow_outside)
    initialise([])
    try:
        node = Node(
            "replay", namespace=f"/{robot}", parameter_overrides=[Parameter("use_sim_time", value=True)],
            start_parameter_services=False, enable_rosout=False,
        )  # fmt: skip
        rows = list(replay(bag, swarm, policy, scan_guard, node))
    finally:
        rclpy.try_shutdown()
    Console(highlight=False, soft_wrap=True).print("\n".join(summary(rows)), markup=False)
    if output:
        _write(rows, output)
    return 0


def _write(rows: list[Row], output: Path) -> None:
    names = [f"{which}_{axis}" for which in ("recorded", "replayed") for axis in AXES]
    nothing = ("",) * len(AXES)
    with replacing(output) as scratch, scratch.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["time", *names, "reason"])
        for row in rows:
            writer.writerow([f"{row.time:.3f}", *(row.recorded or nothing), *(row.replayed or nothing), row.reason])
