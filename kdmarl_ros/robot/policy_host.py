"""Several robots in one process: one policy node each, with its own thread and executor.

A single executor would iterate over the entities of all robots at each wait, so its work would grow with the square of
their number; a robot that loads a policy would block the others, and an exception would end them all.
"""

from __future__ import annotations

import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NoReturn

import rclpy
from rclpy.logging import get_logger
from rclpy.utilities import remove_ros_args

from kdmarl_core.contract import KdmarlError, check_name
from kdmarl_ros.node.process import initialise, leave
from kdmarl_ros.node.restarts import BAD_INPUT, CRASH_LIMIT, CRASH_WINDOW, Restarts
from kdmarl_ros.node.signals import StopSignal
from kdmarl_ros.robot.policy_node import PolicyNode
from kdmarl_ros.swarm.plan import ROBOT_NODE


def run_robots(robots: list[str], stop: StopSignal) -> int:
    """Run the robots until a signal comes, or all of them are down.

    Returns:
        0 after a signal, 2 if all robots had bad input, else 1.
    """
    with ThreadPoolExecutor(len(robots)) as pool:
        exit_codes = list(pool.map(partial(_keep_alive, stop), robots))
    if stop.wait(0.0):
        return 0
    return BAD_INPUT if set(exit_codes) == {BAD_INPUT} else 1


def _keep_alive(stop: StopSignal, robot: str) -> int:
    """Run one robot, and restart it after an internal error, as the supervisor would restart a process."""
    logger = get_logger(f"{robot}.{ROBOT_NODE}".replace("/", "."))  # the node's logger
    restarts = Restarts()
    while not stop.wait(0.0):
        try:
            _live(stop, robot)
        except KdmarlError as error:
            sys.stderr.write(f"{robot}: {error}\n")  # in one write, unlike print
            return BAD_INPUT
        except Exception:  # an error of one robot must not stop the others
            delay = restarts.count_death()
            logger.error(f"internal error: {traceback.format_exc()}")
            if delay is None:
                logger.error(f"it died {CRASH_LIMIT} times in {CRASH_WINDOW:.0f} s, so it stays down")
                return 1
            logger.error(f"starting it again in {delay:.1f} s")
            stop.wait(delay)
    return 0


def _live(stop: StopSignal, robot: str) -> None:
    """Run one robot until the signal; stop it however this ends."""
    node = PolicyNode(namespace=f"/{robot}")
    try:
        name = node.get_fully_qualified_name()
        if name != f"/{robot}/{ROBOT_NODE}":
            raise KdmarlError(f"is remapped to {name}; leave __node and __ns out of the --ros-args of several robots")
        stop.spin(node)
    finally:
        node.close()


def _names(arguments: list[str]) -> list[str]:
    """The robots that the command line names.

    Raises:
        KdmarlError: there is none, one is repeated, or one is not a valid namespace.
    """
    robots = [argument.strip("/") for argument in arguments]
    if not robots:
        raise KdmarlError(
            "no robot is named; give names, such as: policy_host scout_1 scout_2 --ros-args --params-file FILE"
        )
    for robot in robots:
        if robots.count(robot) > 1:
            raise KdmarlError(f"robot '{robot}' is named more than once; give each name once")
        check_name(robot)
    return robots


def main(args: list[str] | None = None) -> int:
    """Run the robots named in ``args`` (as ``sys.argv``) until a signal of ``signals.STOPS``.

    Exit code: 0 after a signal; 2 on bad arguments, or if all robots have bad parameters; 1 when all are down.
    """
    stop = StopSignal()
    try:
        initialise(args)
        return run_robots(_names(remove_ros_args(args)[1:]), stop)
    except KdmarlError as error:
        print(error, file=sys.stderr)
        return BAD_INPUT
    finally:
        rclpy.try_shutdown()


def command() -> NoReturn:
    """The console script: :func:`main`, then the end of the process."""
    leave(main())


if __name__ == "__main__":
    command()
