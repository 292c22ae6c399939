"""Publishes a robot's commands, as the message type that the robot's base subscribes to."""

from __future__ import annotations

import time
from collections.abc import Callable

from geometry_msgs.msg import Twist, TwistStamped
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode
from rclpy.lifecycle.publisher import LifecyclePublisher

from kdmarl_core.contract import KdmarlError
from kdmarl_ros.node.qos import COMMAND_QOS, Endpoint, type_name

AUTO = "auto"

LOOK_EVERY = {False: 0.25, True: 1.0}
"""Whether there are subscribers of our type → time between two checks of all [s]."""

STOP_TIME = 0.05
"""Longest wait for the stop to reach subscribers of the previous type [s]."""


class Commands:
    """Publishes on ``cmd_vel``, as Twist or TwistStamped.

    ``endpoint`` is the publisher's, for its QoS and type problems.
    """

    def __init__(self, node: LifecycleNode, stamped: bool | str, on_change: Callable[[], None]) -> None:
        """Publish for ``node``.

        Args:
            node: of the robot, in its namespace.
            stamped: whether to publish TwistStamped; ``AUTO`` uses the type that is subscribed to.
            on_change: called when what :meth:`unheard` returns has changed.

        Raises:
            KdmarlError: ``stamped`` is something else, or a QoS override does not fit.
        """
        if stamped not in (True, False, AUTO):
            raise KdmarlError(f"parameter 'stamped_commands' is {stamped!r}; give auto, true or false")
        self.endpoint = Endpoint(node, "cmd_vel", COMMAND_QOS, is_publisher=True)
        self._node = node
        self._automatic = stamped == AUTO
        self._on_change = on_change
        self._frame = f"{node.get_namespace()}/base_link".lstrip("/")
        self._stamped = stamped is True
        self._heard = False
        self._unheard = ""
        self._looked = 0.0
        self._is_active = False
        self._publisher = self._make()

    def _make(self) -> LifecyclePublisher:
        kind = TwistStamped if self._stamped else Twist
        return self.endpoint.make(self._node.create_lifecycle_publisher, kind)

    def activate(self) -> None:
        """Start publishing."""
        self._choose()
        self._is_active = True

    def deactivate(self) -> None:
        """Stop publishing; the lifecycle node has deactivated its publishers."""
        self._is_active = False

    def publish(self, forward: float, left: float, yaw_rate: float) -> None:
        """Command a speed forward and to the left [m/s] and a yaw rate [rad/s]."""
        twist = Twist()
        twist.linear.x, twist.linear.y, twist.angular.z = forward, left, yaw_rate
        if self._stamped:
            message = TwistStamped(twist=twist)
            message.header.stamp = self._node.get_clock().now().to_msg()
            message.header.frame_id = self._frame
            self._publisher.publish(message)
        else:
            self._publisher.publish(twist)

    def look(self) -> bool:
        """Check the subscribers from time to time; returns whether the commands' type has changed."""
        heard = self._publisher.get_subscription_count() > 0
        now = time.monotonic()
        if heard == self._heard and now - self._looked < LOOK_EVERY[heard]:
            return False
        self._heard, self._looked = heard, now
        if self._choose():
            return True
        unheard = self.unheard()
        if unheard != self._unheard:
            self._unheard = unheard
            self._on_change()
        return False

    def _choose(self) -> bool:
        """Use the type that is subscribed to, TwistStamped if both are; returns whether it has changed.

        Subscribers of the previous type get a zero command.
        """
        if not self._automatic:
            return False
        wanted = self.endpoint.types()
        stamped = type_name(TwistStamped) in wanted or (self._stamped and type_name(Twist) not in wanted)
        if stamped == self._stamped:
            return False
        if self._is_active and self._heard:
            self._publisher.publish(TwistStamped() if self._stamped else Twist())
            end = time.monotonic() + STOP_TIME
            while not self.arrived() and time.monotonic() < end:  # a destroyed publisher delivers nothing
                time.sleep(0.005)
        self._node.destroy_lifecycle_publisher(self._publisher)
        self._stamped = stamped
        self._publisher = self._make()
        if self._is_active:
            self._publisher.on_activate(None)
        return True

    def unheard(self) -> str:
        """Why a subscriber does not get the commands; empty if all do, or some and another's QoS is at fault."""
        if self._publisher.get_subscription_count():
            wrong = self.endpoint.wrong_type()
            return f"another subscriber of {self.endpoint.topic} expects the type {wrong}" if wrong else ""
        trouble = self.endpoint.trouble()
        if trouble:
            return f"what subscribes to {self.endpoint.topic} has {trouble}"
        return f"nobody subscribes to {self.endpoint.topic}; check the base's topic"

    def arrived(self) -> bool:
        """Whether all commands have been acknowledged; True if the middleware does not support this."""
        try:
            return bool(self._publisher.wait_for_all_acked(Duration(nanoseconds=1)))
        except RuntimeError:  # not supported by every middleware
            return True
