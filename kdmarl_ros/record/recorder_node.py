"""Records a swarm's topics into an MCAP file, whatever else runs."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import NoReturn

from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription

from kdmarl_core.contract import KdmarlError
from kdmarl_ros.node.parameters import planned_swarm, read_names, read_parameter, refuse_unknown
from kdmarl_ros.node.process import leave, run, spinning
from kdmarl_ros.node.qos import type_name
from kdmarl_ros.record.bag import BagWriter, library, writing
from kdmarl_ros.record.topics import wanted

QOS = QoSProfile(depth=100, reliability=ReliabilityPolicy.BEST_EFFORT)
LATCHED = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
"""Where publishers keep their last message for those who come later."""
LOOK_PERIOD = 0.5
"""From look to look for publishers that have come [s]."""


class RecorderNode(Node):
    """Subscribes to each topic with the type that it is published with. ``messages`` have been recorded."""

    def __init__(self) -> None:
        """Read the parameters.

        Raises:
            KdmarlError: a parameter or the swarm file does not fit, or ``mcap`` is not installed.
        """
        super().__init__("recorder")
        path = read_parameter(self, "swarm", Parameter.Type.STRING, "swarm file (YAML)")
        names = read_names(self, "robots", "names of the robots to record; empty for all")
        output = read_parameter(self, "output", Parameter.Type.STRING, "recording to write (.mcap)")
        refuse_unknown(self)
        for name, value in (("swarm", path), ("output", output)):
            if not value:
                raise KdmarlError(f"parameter '{name}' is not set; give a path")
        library("mcap.writer")
        self._wanted = wanted(planned_swarm(path, names))
        self.output = Path(output)
        self.messages = 0
        self.trouble = ""
        """what has ended the recording"""
        self._subscriptions_by_topic: dict[str, Subscription] = {}

    def record(self, bag: BagWriter) -> None:
        """Write what comes into ``bag``, from now on."""
        self._bag = bag
        self._look()
        self.create_timer(LOOK_PERIOD, self._look)

    def _look(self) -> None:
        for name, topic in self._wanted.items():
            infos = self.get_publishers_info_by_topic(name)
            types = {info.topic_type for info in infos}
            kind = next((kind for kind in reversed(topic.kinds) if type_name(kind) in types), None)
            subscription = self._subscriptions_by_topic.get(name)
            if kind is None or (subscription and subscription.msg_type is kind):
                continue
            if subscription:
                self.destroy_subscription(subscription)
            hear = partial(self._hear, name, type_name(kind))
            latched = all(info.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL for info in infos)
            qos = LATCHED if latched else QOS
            self._subscriptions_by_topic[name] = self.create_subscription(kind, name, hear, qos, raw=True)

    def _hear(self, topic: str, kind: str, data: bytes) -> None:
        if self.trouble:
            return
        try:
            self._bag.add(topic, kind, data, self.get_clock().now().nanoseconds)
            self.messages += 1
        except OSError as error:
            self.trouble = f"{self.output} cannot be written any more: {error.strerror}; free the disk"
        except KdmarlError as error:
            self.trouble = str(error)


def main(args: list[str] | None = None) -> int:
    """Record until SIGINT or SIGTERM; exit code 2 when it cannot start."""

    def work() -> int:
        node = RecorderNode()
        with writing(node.output) as bag:
            try:
                node.record(bag)
                with spinning(node):
                    while not node.trouble:
                        time.sleep(0.5)
                raise KdmarlError(node.trouble)
            finally:
                print(f"recorded {node.messages} messages: {node.output}", flush=True)

    return run(work, args)


def command() -> NoReturn:
    """The console script: :func:`main`, then the end of the process."""
    leave(main())


if __name__ == "__main__":
    command()
