"""Choices for command lines; imports nothing, so that these start quickly."""

from __future__ import annotations

from enum import Enum


class Simulator(str, Enum):
    """What simulates the robots."""

    MUJOCO = "mujoco"
    GAZEBO = "gazebo"
    """Gazebo Sim, in a world made from the swarm file"""
    EXTERNAL = "external"
    """another program, which also publishes ``/clock``"""
    NONE = "none"
    """nothing: the robots are real, or all stamps are in wall time"""

    @property
    def is_ours(self) -> bool:
        """Whether the plan starts it."""
        return self is Simulator.MUJOCO

    @property
    def is_generated(self) -> bool:
        """Whether we start it, with the swarm file's world."""
        return self in (Simulator.MUJOCO, Simulator.GAZEBO)

    @property
    def has_clock(self) -> bool:
        """Whether time comes from ``/clock``."""
        return self is not Simulator.NONE


class Processes(str, Enum):
    """How robots are distributed over processes."""

    ROBOT = "robot"
    """one process per robot"""
    HOST = "host"
    """one process for all robots of the plan"""
