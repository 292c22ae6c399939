"""The choices of a plan that command lines offer; imports nothing, so that they answer at once."""

from __future__ import annotations

from enum import Enum


class Simulator(str, Enum):
    """What makes the robots' sensors and moves them."""

    MUJOCO = "mujoco"
    EXTERNAL = "external"
    """another program does, which also publishes ``/clock``"""
    NONE = "none"
    """nothing: the robots are real, or all stamps are of wall time"""

    @property
    def is_ours(self) -> bool:
        """Whether the plan starts it."""
        return self is Simulator.MUJOCO

    @property
    def has_clock(self) -> bool:
        """Whether time is that of ``/clock``."""
        return self is not Simulator.NONE


class Processes(str, Enum):
    """What shares a process."""

    ROBOT = "robot"
    """nothing: one process for each robot"""
    HOST = "host"
    """all robots of the plan, which is for one computer"""
