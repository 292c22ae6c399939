"""Simulates a swarm in MuJoCo: sensors, odometry and ``/clock`` out, velocity commands in."""

from __future__ import annotations

import math
import threading
import time
from typing import NoReturn

import numpy as np
from builtin_interfaces.msg import Time
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from rosgraph_msgs.msg import Clock
from std_srvs.srv import Trigger
from visualization_msgs.msg import MarkerArray

from kdmarl_core.contract.node_parameters import TRUTH
from kdmarl_core.mujoco.world import MujocoWorld
from kdmarl_ros.node.parameters import planned_swarm, read_names, read_parameter, refuse_unknown
from kdmarl_ros.node.process import leave, run, spinning
from kdmarl_ros.sim.drifting_odometry import DriftingOdometry
from kdmarl_ros.sim.lockstep import MESSAGE_PERIOD, cycles_of, message_period
from kdmarl_ros.sim.markers import SwarmMarkers
from kdmarl_ros.sim.pace import Pace
from kdmarl_ros.sim.simulated_robot import SimulatedRobot
from kdmarl_ros.swarm.plan import drifts

TICKS = (20_000_000, 10_000_000, 5_000_000)
"""Simulated time between two ``/clock`` messages [ns]: the longest of them that fits ``PER_PERIOD`` times into each
period, else the shortest."""
PER_PERIOD = 5
MARKER_PERIOD = 500_000_000
"""[ns]"""
OBSERVER_TIMEOUT = 30.0
"""Longest wait for the observer [s, steady clock]."""
LOCKSTEP_TIMEOUT = 0.4
"""Longest wait for a robot's command in lockstep [s, steady clock]; one that died must not make time stand still for so
long that the others stop (0.5 s by default)."""


class SimulatorNode(Node):
    """One world with every robot of a swarm file.

    Sensors of one instant are published before the ``/clock`` message of that instant, so a controller that
    acts on the clock has them. In lockstep, time then waits until every robot that has ever commanded does so
    again: results do not depend on the load of the machine.
    """

    def __init__(self) -> None:
        """Read the parameters and build the world.

        Raises:
            KdmarlError: a parameter or the swarm file does not fit.
        """
        super().__init__("simulator")
        path = read_parameter(self, "swarm", Parameter.Type.STRING, "swarm file (YAML)")
        names = read_names(self, "robots", "names of the robots to simulate; empty for all")
        factor = read_parameter(
            self, "real_time_factor", 1.0, "simulated over real time; 0 is as fast as possible", (0.0, 100.0)
        )
        self._lockstep = read_parameter(self, "lockstep", False, "let simulated time wait for the robots' commands")
        self._observer = read_parameter(
            self, "observer", "", "node that must subscribe to every robot's odom before time moves; none if empty"
        )
        seed = read_parameter(self, "seed", 0, "seed of the sensor noise", (0, 2**31 - 1))
        refuse_unknown(self)
        swarm = planned_swarm(path, names)
        self._world = MujocoWorld(swarm, seed)
        self._cycles = {robot.name: cycles_of(swarm, robot) for robot in swarm.robots}
        sensors = [sensor for robot in swarm.robots for sensor in swarm.robot_type(robot).sensors.carried.values()]
        shortest = min([*(cycles.period for cycles in self._cycles.values()), *map(message_period, sensors)])
        self._tick = next((tick for tick in TICKS if PER_PERIOD * tick <= shortest), TICKS[-1])
        """between two ``/clock`` messages [ns]"""
        self._pace = Pace(factor, self._tick / 1e9)
        self._inbox: dict[str, tuple[float, ...]] = {}
        self._heard: dict[str, int] = {}
        """robot → simulated time of its last command [ns], for robots that lockstep waits for"""
        self._news = threading.Condition()
        self._reset_wanted = False
        self._markers = SwarmMarkers(swarm)
        self._robots = [
            SimulatedRobot(
                self,
                robot,
                swarm.robot_type(robot),
                swarm.frame,
                swarm.frame_prefix(robot),
                swarm.parameters(robot).stamped_commands is True,
                self._on_command,
                min(MESSAGE_PERIOD, self._cycles[robot.name].period),
                DriftingOdometry(np.random.default_rng([seed, index])) if drifts(swarm, robot) else None,
            )
            for index, robot in enumerate(swarm.robots)
        ]
        self._watched = [f"/{robot.name}/{TRUTH if drifts(swarm, robot) else 'odom'}" for robot in swarm.robots]
        """topics that the observer subscribes to"""
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._marker_publisher = self.create_publisher(MarkerArray, "~/markers", latched)
        self._clock_publisher = self.create_publisher(Clock, "/clock", QoSProfile(depth=1))
        self.create_service(Trigger, "~/reset", self._on_reset)
        self.get_logger().info(f"simulating {len(swarm.robots)} robots of swarm '{swarm.name}'")

    def simulate(self) -> None:
        """Run until an exception ends it, such as KeyboardInterrupt."""
        self._wait_for_observer()
        self._publish()
        while True:
            if self._lockstep:
                self._wait_for_commands()
            # Until everybody drives time must not run away from those that are still starting.
            all_drive = len(self._heard) == len(self._robots)
            self._pace.wait(None if all_drive else min(self._pace.factor or 1.0, 1.0))
            self._take_news()
            self._world.step(self._tick / 1e9)
            self._publish()
            self._report_shortfall()

    def _wait_for_observer(self) -> None:
        """Let time stand until the observer, such as the judge, is there to see the start."""
        deadline = time.monotonic() + OBSERVER_TIMEOUT
        while self._observer and not self._is_observed():
            if time.monotonic() > deadline:
                self.get_logger().warning(
                    f"node '{self._observer}' does not subscribe to the robots' odom within {OBSERVER_TIMEOUT:g} s; "
                    "going on without it"
                )
                return
            time.sleep(0.05)

    def _is_observed(self) -> bool:
        return all(
            any(info.node_name == self._observer for info in self.get_subscriptions_info_by_topic(topic))
            for topic in self._watched
        )

    def _publish(self) -> None:
        seconds, nanoseconds = divmod(self._world.time_ns, 1_000_000_000)
        stamp = Time(sec=seconds, nanosec=nanoseconds)
        for robot in self._robots:
            robot.publish(self._world, stamp, self._is_time_for)
        if self._is_time_for(MARKER_PERIOD):
            self._marker_publisher.publish(self._markers.at(self._world, stamp))
        self._clock_publisher.publish(Clock(clock=stamp))

    def _is_time_for(self, period: int) -> bool:
        """Whether a multiple of ``period`` [ns] has come since the tick before."""
        now = self._world.time_ns
        return now // period != (now - self._tick) // period

    def _take_news(self) -> None:
        """Hand the commands that came since the last tick to the world; reset it when asked to."""
        with self._news:
            for name, command in self._inbox.items():
                self._world.command(name, *command)
            self._inbox.clear()
            if self._reset_wanted:
                self._world.reset()
                self._reset_wanted = False
                self._news.notify_all()

    def _wait_for_commands(self) -> None:
        """Wait for the robots' commands of this instant, for at most ``LOCKSTEP_TIMEOUT``."""
        now = self._world.time_ns

        def late() -> list[str]:
            return [name for name in due if self._heard[name] < now]

        with self._news:
            due = [name for name, heard in self._heard.items() if self._cycles[name].due(heard, now, self._tick)]
            self._news.wait_for(lambda: self._reset_wanted or not late(), LOCKSTEP_TIMEOUT)
            silent = [] if self._reset_wanted else late()
            for name in silent:
                del self._heard[name]
        # Nobody misses a robot whose node has ended in order.
        if missed := [name for name in silent if self.count_publishers(f"/{name}/cmd_vel")]:
            self.get_logger().warning(
                f"lockstep: no command from {', '.join(missed)} within {LOCKSTEP_TIMEOUT} s; "
                "going on without, until commands come again"
            )

    def _on_command(self, name: str, command: tuple[float, ...]) -> None:
        if not all(map(math.isfinite, command)):
            self.get_logger().warning(
                f"{name}: command is not finite ({', '.join(map(str, command))}); the robot stops",
                throttle_duration_sec=5.0,
            )
            command = (0.0,) * len(command)
        with self._news:
            self._inbox[name] = command
            self._heard[name] = self._world.time_ns
            self._news.notify_all()

    def _on_reset(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        with self._news:
            self._reset_wanted = True
            self._news.notify_all()
            response.success = self._news.wait_for(lambda: not self._reset_wanted, 2.0)
        response.message = "every robot is at its start" if response.success else "the simulator is busy; try again"
        return response

    def _report_shortfall(self) -> None:
        reached = self._pace.shortfall()
        if reached is not None:
            self.get_logger().warning(
                f"simulation reaches {reached:.2f} of real time, {self._pace.factor:g} was asked for; "
                "lower real_time_factor or simulate fewer robots",
                throttle_duration_sec=30.0,
            )


def main(args: list[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM; exit code 2 when it cannot start."""

    def work() -> int:
        node = SimulatorNode()
        with spinning(node):
            node.simulate()
        return 0

    return run(work, args)


def command() -> NoReturn:
    """The console script: :func:`main`, then the end of the process."""
    leave(main())


if __name__ == "__main__":
    command()
