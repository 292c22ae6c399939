"""Quality of service: overrides by parameters, and detection of incompatible endpoints."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
from rclpy.exceptions import InvalidParameterTypeException
from rclpy.node import Node
from rclpy.qos import (
    DurabilityPolicy,
    QoSCompatibility,
    QoSPolicyKind,
    QoSProfile,
    ReliabilityPolicy,
    qos_check_compatible,
    qos_policy_name_from_kind,
)
from rclpy.qos_overriding_options import InvalidQosOverridesError, QoSOverridingOptions

from kdmarl_core.contract import KdmarlError

SENSOR_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
ORDER_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
LATCHED_QOS = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
COMMAND_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)

OVERRIDABLE = (QoSPolicyKind.RELIABILITY, QoSPolicyKind.DURABILITY, QoSPolicyKind.DEPTH)


class Endpoint:
    """QoS of one publisher or subscription, with its overrides and the detection of incompatible endpoints."""

    def __init__(self, node: Node, topic: str, qos: QoSProfile, is_publisher: bool = False) -> None:
        """Prepare, without making anything yet.

        Args:
            node: that has it.
            topic: relative to the node's namespace.
            qos: defaults of the parameters ``qos_overrides.<topic>.<publisher|subscription>.<policy>``.
            is_publisher: rather than a subscription.
        """
        self.topic: str = node.resolve_topic_name(topic)
        self._node = node
        self._name = topic
        self._qos = copy.copy(qos)  # rclpy writes the overrides into it
        self._is_publisher = is_publisher
        self._parameters = f"qos_overrides.{self.topic}.{'publisher' if is_publisher else 'subscription'}"
        self._policy = ""
        self._type = ""
        self._has_events = True

    def make(self, create: Callable[..., Any], kind: type, *callback: Callable[..., None]) -> Any:
        """Create the publisher or subscription with ``create``, a method of the node, for messages of type ``kind``.

        Raises:
            KdmarlError: an override does not fit.
        """
        events = PublisherEventCallbacks if self._is_publisher else SubscriptionEventCallbacks
        self._type = type_name(kind)
        try:
            made = create(
                kind,
                self._name,
                *callback,
                self._qos,
                event_callbacks=events(incompatible_qos=self._note, use_default_callbacks=False),
                qos_overriding_options=QoSOverridingOptions(OVERRIDABLE, callback=_check_depth),
            )
        except (RuntimeError, InvalidQosOverridesError, InvalidParameterTypeException) as error:
            raise KdmarlError(
                f"one of the parameters '{self._parameters}.*' does not fit ({error}); give reliability (reliable, "
                "best_effort), durability (volatile, transient_local) or depth (1 or more)"
            ) from None
        self._has_events = bool(made.event_handlers)  # rclpy omits those that the middleware does not support
        return made

    def incompatible(self) -> str:
        """Name of the QoS policy that makes another endpoint incompatible; empty if all present ones are compatible."""
        # The middleware reports appearing endpoints, not disappearing ones, so its report is checked with the graph.
        if self._has_events and not self._policy:
            return ""
        reasons = [reason for info in self._infos() if (reason := self._conflict(info))]
        if not reasons:
            return ""
        return self._policy or ("durability" if "local" in reasons[0] else "reliability")

    def wrong_type(self) -> str:
        """Message type of another endpoint on the topic that is not ours; empty if all have our type."""
        return next((info.topic_type for info in self._infos() if info.topic_type != self._type), "")

    def trouble(self) -> str:
        """Why another endpoint on the topic cannot be connected; empty if all can."""
        if wrong := self.wrong_type():
            return f"the type {wrong} instead of {self._type}"
        policy = self.incompatible()
        return f"an incompatible QoS ({policy})" if policy else ""

    def others(self) -> list[str]:
        """Fully qualified names of the nodes on the other side of the topic."""
        return sorted(f"{info.node_namespace.rstrip('/')}/{info.node_name}" for info in self._infos())

    def types(self) -> set[str]:
        """Message types on the other side of the topic."""
        return {info.topic_type for info in self._infos()}

    def _note(self, event: Any) -> None:
        self._policy = qos_policy_name_from_kind(event.last_policy_kind).lower()
        other = "subscription asks for" if self._is_publisher else "publisher offers"
        self._node.get_logger().warning(
            f"a {other} an incompatible {self._policy} on {self.topic}; change it there, or here by parameter "
            f"'{self._parameters}.{self._policy}'"
        )

    def _infos(self) -> list[Any]:
        if self._is_publisher:
            return self._node.get_subscriptions_info_by_topic(self.topic)
        return self._node.get_publishers_info_by_topic(self.topic)

    def _conflict(self, other: Any) -> str:
        """The reason from rclpy if the other endpoint's QoS is incompatible; else empty."""
        pair = (self._qos, other.qos_profile) if self._is_publisher else (other.qos_profile, self._qos)
        compatibility, reason = qos_check_compatible(*pair)
        return reason.lower() if compatibility == QoSCompatibility.ERROR else ""


def type_name(kind: type) -> str:
    """Full name of a message type, such as ``geometry_msgs/msg/Twist``."""
    return f"{kind.__module__.partition('.')[0]}/msg/{kind.__name__}"


def _check_depth(qos: QoSProfile) -> SetParametersResult:
    return SetParametersResult(successful=qos.depth >= 1, reason=f"depth is {qos.depth}")
