"""Follows a run through the robots' odometry and judges it: progress, table, ``summary.json``, ``tracks.png``."""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import msgspec
import numpy as np
from geometry_msgs.msg import Twist, TwistStamped
from msgspec.structs import replace
from nav_msgs.msg import Odometry
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from rclpy.subscription import Subscription
from rich.console import Console
from rich.table import Table

from kdmarl_core.contract import KdmarlError, Robot, figures
from kdmarl_core.contract.figures import Figure
from kdmarl_core.gazebo.obstacles import obstacles_of
from kdmarl_core.judge.judgement import Judgement, Totals, Track, judge
from kdmarl_ros.node.parameters import planned_swarm, read_names, read_parameter, refuse_unknown
from kdmarl_ros.node.process import leave, run, spinning
from kdmarl_ros.node.qos import type_name

try:
    from kdmarl_core.judge.tracks_figure import save_tracks
except ImportError as error:  # JudgeNode reports it in one sentence
    save_tracks = None  # type: ignore[assignment]
    NO_FIGURE = str(error).partition("\n")[0]

ODOMETRY_TIMEOUT = 30.0
"""Longest wait for odometry [s, steady clock]."""
ROBOT_TIMEOUT = 1.0
"""Added to that at the start for each robot, as simulators put one after another into their world [s]."""
COMMAND_TIMEOUT = 60.0
"""Longest wait for the first command once all robots publish odometry [s, steady clock]."""
STRAY = 30.0
"""Odometry stamps of a swarm that are further apart come from different clocks [s]."""
REORDERED = 1.0
"""Odometry of one robot that is older than an earlier message by more was not just delivered late [s]."""
STRAY_TIMEOUT = 3.0
"""Longest time with only stray odometry of a robot [s, steady clock]."""
MOVED = 0.01
"""A robot this far from its first position has moved [m]."""
PROGRESS_PERIOD = 5.0
"""ROS time between two progress lines [s]."""


class JudgeNode(Node):
    """Records the tracks of all robots of a swarm, from the first motion on.

    Times are the odometry's stamps, in ROS time.
    """

    def __init__(self) -> None:
        """Read the parameters and subscribe.

        Raises:
            KdmarlError: a parameter or the swarm file does not fit, or the output cannot be written.
        """
        super().__init__("judge")
        path = read_parameter(self, "swarm", Parameter.Type.STRING, "swarm file (YAML)")
        names = read_names(self, "robots", "names of the robots to judge; empty for all")
        self._duration = read_parameter(
            self, "duration", 0.0, "length of the run in ROS time [s]; 0 is until SIGINT", (0.0, 1e6)
        )
        output = read_parameter(self, "output", Parameter.Type.STRING, "directory for summary.json and tracks.png")
        refuse_unknown(self)
        for name, value in (("swarm", path), ("output", output)):
            if not value:
                raise KdmarlError(f"parameter '{name}' is not set; give a path")
        if save_tracks is None:
            raise KdmarlError(f"matplotlib cannot be used ({NO_FIGURE}); pip install 'kdmarl_ros[sim]'")
        swarm = planned_swarm(path, names)
        obstacles = obstacles_of(swarm)
        self._swarm, self._obstacles = replace(swarm, world=obstacles.world), obstacles.said
        self._output = Path(output)
        _prepare(self._output)
        self._rows: dict[str, list[tuple[float, float, float, float]]] = {
            robot.name: [] for robot in self._swarm.robots
        }
        """robot → time [s], x, y [m], yaw [rad]"""
        self._now = -math.inf
        self._heard = time.monotonic()
        self._commanded = False
        self._command_subscriptions: dict[str, Subscription] = {}
        self._stray: dict[str, tuple[float, str]] = {}
        """robot → since when its odometry is stray [s, steady clock], and what is wrong"""
        for robot in self._swarm.robots:
            self._subscribe(robot)

    def _subscribe(self, robot: Robot) -> None:
        self.create_subscription(
            Odometry,
            f"{robot.name}/odom",
            lambda message: self._note_odometry(robot.name, message),
            qos_profile_sensor_data,
        )

    def _follow_commands(self) -> None:
        """Subscribe to the robots' commands, with the type that each publishes."""
        for robot in self._swarm.robots:
            topic = f"/{robot.name}/cmd_vel"
            types = {info.topic_type for info in self.get_publishers_info_by_topic(topic)}
            kind = next((kind for kind in (TwistStamped, Twist) if type_name(kind) in types), None)
            subscription = self._command_subscriptions.get(robot.name)
            if kind is None or (subscription and subscription.msg_type is kind):
                continue
            if subscription:
                self.destroy_subscription(subscription)
            self._command_subscriptions[robot.name] = self.create_subscription(
                kind, topic, self._note_command, QoSProfile(depth=1)
            )

    def _note_command(self, message: Twist | TwistStamped) -> None:
        twist = message.twist if isinstance(message, TwistStamped) else message
        self._commanded = self._commanded or bool(twist.linear.x or twist.linear.y or twist.angular.z)

    def _note_odometry(self, name: str, message: Odometry) -> None:
        self._heard = time.monotonic()
        stamp, pose = message.header.stamp, message.pose.pose
        seconds, q = stamp.sec + stamp.nanosec * 1e-9, pose.orientation
        rows = self._rows[name]
        old = bool(rows) and seconds < rows[-1][0] - REORDERED
        if math.isfinite(self._now) and (old or abs(seconds - self._now) > STRAY):
            wrong = f"/{name}/odom is stamped {seconds:.1f} s after stamps of {self._now:.1f} s"
            self._stray.setdefault(name, (self._heard, wrong))
            return
        self._stray.pop(name, None)
        yaw = math.atan2(2 * (q.w * q.z + q.x * q.y), 1 - 2 * (q.y * q.y + q.z * q.z))
        place = (pose.position.x, pose.position.y, yaw)
        # Best-effort messages may arrive twice or out of order, and a broken localisation publishes NaN.
        if (not rows or seconds > rows[-1][0]) and all(map(math.isfinite, place)):
            rows.append((seconds, *place))
            self._now = max(self._now, seconds)

    def watch(self) -> int:
        """Follow a whole run, or until SIGINT; write the results and return the exit code.

        Raises:
            KdmarlError: the robots publish no odometry, odometry from different clocks, or no commands, or the results
                cannot be written.
        """
        start = None
        try:
            self._wait_for_odometry()
            self._wait(lambda: self._commanded, COMMAND_TIMEOUT, "no robot was given a command to move")
            start = self._first_motion()
            _say(f"judging {len(self._swarm.robots)} robots; {self._obstacles}")
            self._watch_from(start)
        except KeyboardInterrupt:
            if start is None or self._now <= start:
                raise KdmarlError("interrupted before the robots moved; there is nothing to judge") from None
        end = min(self._now, start + self._duration) if self._duration else self._now
        return self._finish(start, end)

    def _first_motion(self) -> float:
        """Time of the first motion [s]: commands may have reached the robots long before they reached this node."""
        moved = [
            next((row[0] for row in rows if math.dist(row[1:3], rows[0][1:3]) > MOVED), math.inf)
            for rows in self._rows.values()
        ]
        return min(*moved, self._now)

    def _wait_for_odometry(self) -> None:
        patience = ODOMETRY_TIMEOUT + len(self._rows) * ROBOT_TIMEOUT
        deadline = time.monotonic() + patience
        while silent := [name for name, rows in self._rows.items() if not rows]:
            if time.monotonic() > deadline:
                topics = ", ".join(f"/{name}/odom" for name in silent)
                raise KdmarlError(
                    f"nothing was received on {topics} within {patience:.0f} s; check that the robots or the "
                    "simulator run in this ROS domain"
                )
            self._pause()

    def _wait(self, condition: Callable[[], bool], timeout: float, failure: str) -> None:
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                raise KdmarlError(f"{failure} within {timeout:.0f} s; check that the policy nodes are active")
            self._pause()

    def _watch_from(self, start: float) -> None:
        """Print progress until the run is over."""
        next_line = PROGRESS_PERIOD
        while not self._duration or self._now < start + self._duration:
            if time.monotonic() - self._heard > ODOMETRY_TIMEOUT:
                raise KdmarlError(
                    f"no odometry was received for {ODOMETRY_TIMEOUT:.0f} s, after {self._now - start:.1f} s of the "
                    "run; check that the robots or the simulator still run"
                )
            if self._now >= start + next_line:
                _say(_progress(start, self._now, judge(self._swarm, self._tracks(), start, self._now)))
                next_line = PROGRESS_PERIOD * (1 + (self._now - start) // PROGRESS_PERIOD)
            self._pause()

    def _pause(self) -> None:
        """Wait for messages, and check for stray odometry."""
        time.sleep(0.02)
        if not self._commanded:
            self._follow_commands()
        for since, wrong in list(self._stray.values()):
            if time.monotonic() - since > STRAY_TIMEOUT:
                raise KdmarlError(
                    f"{wrong}; let all robots use one clock (use_sim_time), and judge again after a simulator's reset"
                )

    def _finish(self, start: float, end: float) -> int:
        tracks = self._tracks()
        result = judge(self._swarm, tracks, start, end, self._obstacles)
        summary, picture = self._output / "summary.json", self._output / "tracks.png"
        _write(summary, lambda path: path.write_bytes(msgspec.json.format(msgspec.json.encode(result)) + b"\n"))
        _write(picture, lambda path: save_tracks(path, self._swarm, result, tracks, start, end))
        Console(width=100).print(_table(result))
        _say("passed" if result.passed else f"missed: {'; '.join(result.missed)}")
        _say(f"written: {summary}, {picture}")
        return 0 if result.passed else 1

    def _tracks(self) -> dict[str, Track]:
        tracks = {}
        for name, rows in self._rows.items():
            table = np.array(rows.copy())  # callbacks append to it concurrently
            tracks[name] = Track(table[:, 0], table[:, 1:3], table[:, 3])
        return tracks


def _say(line: str) -> None:
    print(line, flush=True)


def _progress(start: float, now: float, result: Judgement) -> str:
    totals = result.totals
    shown = [(figures.COLLISIONS, totals.collisions), (figures.CLEARANCE, totals.minimum_clearance)]
    return "  ".join(
        [
            f"t={now - start:5.1f} s",
            f"{'targets covered' if totals.targets else 'goals'} {totals.goals_reached}/{totals.goals}",
            *(f"{figure.title} {figure.show(value)}" for figure, value in shown if value is not None),
        ]
    )


def _table(result: Judgement) -> Table:
    table = Table(title=f"{result.swarm}, {result.duration:.1f} s", show_footer=True)
    totals = result.totals
    goal, reached = ("target", "covered") if totals.targets else ("goal", "reached")
    table.add_column("robot", "all")
    table.add_column("type")
    table.add_column(goal, f"{totals.goals_reached} of {totals.goals}")
    for figure, _, of_all in (columns := _columns(totals)):
        table.add_column(figure.title.replace("goal", goal), figure.show(of_all), justify="right")
    for robot in result.robots:
        table.add_row(
            robot.name,
            robot.type,
            reached if robot.goal_reached else f"{robot.goal_distance:.2f} m away",
            *(figure.show(getattr(robot, field)) for figure, field, _ in columns),
        )
    return table


def _columns(totals: Totals) -> list[tuple[Figure, str, float | None]]:
    """Figures, their fields in a robot's result, and their values for all robots."""
    return [
        (figures.TIME_TO_GOAL, "time_to_goal", totals.mean_time_to_goal),
        (figures.COLLISIONS, "collisions", totals.collisions),
        (figures.CLEARANCE, "minimum_clearance", totals.minimum_clearance),
        (figures.PATH_LENGTH, "path_length", totals.path_length),
        (figures.STOPS, "stops", totals.stops),
    ]


def _prepare(output: Path) -> None:
    """Create the directory, check that it can be written to, and remove an earlier run's results."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output) as file:
            file.write(bytes(65536))
        for name in ("summary.json", "tracks.png"):
            (output / name).unlink(missing_ok=True)
    except OSError as error:
        raise KdmarlError(f"{output}: cannot be written to ({error.strerror}); give another output directory") from None


def _write(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file atomically."""
    part = path.with_name(f".{path.name}.part")
    try:
        write(part)
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise KdmarlError(f"{path}: cannot be written ({error.strerror}); free space or give another output") from None


def main(args: list[str] | None = None) -> int:
    """Judge one run: exit code 0 if it meets the swarm file's bars, 1 if not, 2 if there was nothing to judge."""

    def work() -> int:
        node = JudgeNode()
        with spinning(node):
            return node.watch()

    return run(work, args)


def command() -> NoReturn:
    """The console script: :func:`main`, then the end of the process."""
    leave(main())


if __name__ == "__main__":
    command()
