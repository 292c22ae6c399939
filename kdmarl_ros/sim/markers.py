"""RViz markers of a simulated swarm: arena, pillars, walls, goals or targets, robots and where their sensors sit."""

from __future__ import annotations

import math

from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from kdmarl_core.contract import Robot, Swarm, World
from kdmarl_core.judge.palette import type_colours
from kdmarl_core.mujoco.world import MujocoWorld

WALL_HEIGHT = 0.3
WALL_WIDTH = 0.05
SENSOR_BAR = 0.4
"""Length of a sensor's marker, as a share of its robot's radius."""
GREY = (0.45, 0.45, 0.45)


class SwarmMarkers:
    """The swarm's markers, made once; only robots move."""

    def __init__(self, swarm: Swarm) -> None:
        colours = type_colours(swarm)
        self._bodies = [_body(swarm, robot, colours[robot.type]) for robot in swarm.robots]
        self._headings = [_heading(swarm, robot) for robot in swarm.robots]
        self._sensors = [_sensors(swarm, robot) for robot in swarm.robots]
        goals = [
            _goal(swarm, "goals", robot.goal, colours[robot.type]) for robot in swarm.robots if robot.goal is not None
        ]
        targets = [_goal(swarm, "targets", target, GREY) for target in swarm.targets]
        obstacles = _obstacles(swarm.world) if swarm.world else []
        moving = [*self._bodies, *self._headings, *self._sensors]
        self._array = MarkerArray(markers=[*obstacles, *goals, *targets, *moving])
        for index, marker in enumerate(self._array.markers):
            marker.id = index
            marker.header.frame_id = swarm.frame

    def at(self, world: MujocoWorld, stamp: Time) -> MarkerArray:
        """The markers with every robot where it is now."""
        for body, *parts in zip(self._bodies, self._headings, self._sensors, strict=True):
            odometry = world.odometry(body.text)
            for marker in (body, *parts):
                _place(marker, odometry.x, odometry.y, odometry.yaw)
        for marker in self._array.markers:
            marker.header.stamp = stamp
        return self._array


def _marker(group: str, kind: int, size: tuple[float, float, float], colour: tuple[float, ...], alpha: float) -> Marker:
    marker = Marker(ns=group, type=kind, action=Marker.ADD)
    marker.scale.x, marker.scale.y, marker.scale.z = (float(value) for value in size)
    marker.color = ColorRGBA(r=float(colour[0]), g=float(colour[1]), b=float(colour[2]), a=alpha)
    marker.pose.position.z = marker.scale.z / 2
    return marker


def _place(marker: Marker, x: float, y: float, yaw: float = 0.0) -> Marker:
    marker.pose.position.x, marker.pose.position.y = float(x), float(y)
    marker.pose.orientation.z, marker.pose.orientation.w = math.sin(yaw / 2), math.cos(yaw / 2)
    return marker


def _body(swarm: Swarm, robot: Robot, colour: tuple[float, ...]) -> Marker:
    robot_type = swarm.robot_type(robot)
    size = (2 * robot_type.radius, 2 * robot_type.radius, robot_type.height)
    marker = _marker("robots", Marker.CYLINDER, size, colour, 1.0)
    marker.text = robot.name
    return marker


def _heading(swarm: Swarm, robot: Robot) -> Marker:
    """A bar on the lid, from the middle to the front."""
    robot_type = swarm.robot_type(robot)
    marker = _marker("headings", Marker.LINE_LIST, (0.2 * robot_type.radius, 0.0, 0.0), (1.0, 1.0, 1.0), 1.0)
    marker.points = [Point(), Point(x=robot_type.radius)]
    marker.pose.position.z = robot_type.height + 0.01
    return marker


def _sensors(swarm: Swarm, robot: Robot) -> Marker:
    """Bars on the lid, from where each sensor sits the way that it looks."""
    robot_type = swarm.robot_type(robot)
    marker = _marker("sensors", Marker.LINE_LIST, (0.1 * robot_type.radius, 0.0, 0.0), (0.0, 0.0, 0.0), 1.0)
    length = SENSOR_BAR * robot_type.radius
    for sensor in robot_type.sensors.carried.values():
        for (x, y), angle in zip(sensor.origins.tolist(), sensor.directions.tolist(), strict=True):
            ahead, left = length * math.cos(angle), length * math.sin(angle)
            marker.points += [Point(x=x, y=y), Point(x=x + ahead, y=y + left)]
    marker.pose.position.z = robot_type.height + 0.02
    return marker


def _goal(swarm: Swarm, group: str, place: tuple[float, float], colour: tuple[float, ...]) -> Marker:
    size = (2 * swarm.goal_tolerance, 2 * swarm.goal_tolerance, 0.01)
    return _place(_marker(group, Marker.CYLINDER, size, colour, 0.35), *place)


def _obstacles(world: World) -> list[Marker]:
    x, y = world.size[0] / 2, world.size[1] / 2
    sides = [(-x, -y, x, -y), (x, -y, x, y), (x, y, -x, y), (-x, y, -x, -y)]
    markers = [_wall(*segment) for segment in (*sides, *world.walls)]
    for disc_x, disc_y, radius in world.discs:
        pillar = _marker("obstacles", Marker.CYLINDER, (2 * radius, 2 * radius, WALL_HEIGHT), GREY, 1.0)
        markers.append(_place(pillar, disc_x, disc_y))
    return markers


def _wall(x1: float, y1: float, x2: float, y2: float) -> Marker:
    size = (math.hypot(x2 - x1, y2 - y1), WALL_WIDTH, WALL_HEIGHT)
    return _place(
        _marker("obstacles", Marker.CUBE, size, GREY, 1.0), (x1 + x2) / 2, (y1 + y2) / 2, math.atan2(y2 - y1, x2 - x1)
    )
