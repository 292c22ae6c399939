"""The steps of which the table's faults are made: what breaks something, or repairs it, and since when."""

from __future__ import annotations

import itertools
import signal
import time
from collections.abc import Callable

from sensor_msgs.msg import PointCloud2

from faults.harness import BEST_EFFORT, PERIOD, RELIABLE, Scene
from faults.trials import Disturbed
from kdmarl_core.runtime.gate import LATE_CYCLES
from robot_body import ACTIVATE, DEACTIVATE, Edit

Step = Callable[[Scene], float]


def silent(*topics: str) -> Step:
    """Nothing on the topics any more, since their last message."""

    def inject(scene: Scene) -> float:
        for topic in topics:
            scene.body.edits[topic] = lambda message: None
        return min(scene.body.sent[topic] for topic in topics)

    return inject


def spoilt(edit: Edit, *topics: str) -> Step:
    """Bad messages on the topics from now on."""

    def inject(scene: Scene) -> float:
        scene.body.edits |= dict.fromkeys(topics, edit)
        now = time.monotonic()
        scene.body.publish()
        return now

    return inject


def honest(scene: Scene) -> float:
    """All sensors give good messages again."""
    scene.body.edits.clear()
    now = time.monotonic()
    scene.body.publish()
    return now


def ordered(order: object) -> Step:
    """A goal or targets, given once."""

    def inject(scene: Scene) -> float:
        now = time.monotonic()
        (scene.body.targets if hasattr(order, "poses") else scene.body.goals).publish(order)
        return now

    return inject


def obeyed(scene: Scene) -> float:
    """A goal and targets that can be followed."""
    now = time.monotonic()
    scene.order_good()
    return now


def offering(qos: object) -> Step:
    """The lidar is replaced by one with another quality of service."""

    def inject(scene: Scene) -> float:
        begun = scene.body.sent["scan"] if qos is BEST_EFFORT else time.monotonic()
        scene.body.offer("scan", qos)
        return begun

    return inject


def transition(number: int) -> Step:
    """A lifecycle transition, since it was asked for."""

    def inject(scene: Scene) -> float:
        now = time.monotonic()
        assert scene.body.transition(number)
        return now

    return inject


def activated_without(topic: str) -> Step:
    """Activation after the topic fell silent."""

    def inject(scene: Scene) -> float:
        assert scene.body.transition(DEACTIVATE)
        scene.body.edits[topic] = lambda message: None
        scene.body.spin(2 * PERIOD)
        return transition(ACTIVATE)(scene)

    return inject


def signalled(number: signal.Signals) -> Step:
    """The process is asked to end, which it does."""

    def inject(scene: Scene) -> float:
        now = time.monotonic()
        scene.process.send_signal(number)
        assert scene.body.until(lambda: scene.process.poll() is not None, 5), "the process goes on"
        assert scene.process.returncode == 0, f"the process ends with {scene.process.returncode}"
        return now

    return inject


def started(scene: Scene) -> float:
    """A new process."""
    now = time.monotonic()
    scene.start()
    return now


def starved(scene: Scene) -> float:
    """The process gets the processor too seldom, as on a computer with too much to do, and none once it stands."""
    body, process = scene.body, scene.process
    count = len(body.commands)
    begun = time.monotonic()
    for _ in range(10):
        process.send_signal(signal.SIGSTOP)
        body.spin(body.commands[-1][0] + 1.6 * PERIOD - time.monotonic())
        # Cycles are due at whole multiples of the period: a late one is to run now, and none before the next pause.
        body.spin(max(0.0, 0.2 * PERIOD - time.time() % PERIOD))
        process.send_signal(signal.SIGCONT)
        body.until(lambda: len(body.commands) > count, 5 * PERIOD)  # noqa: B023 - called at once
        count = len(body.commands)
        if body.stops(begun):
            break
    else:
        times = [command[0] for command in body.commands if command[0] >= begun]
        late = [after - before > 1.5 * PERIOD for before, after in itertools.pairwise(times)]
        if [True] * LATE_CYCLES not in [late[first : first + LATE_CYCLES] for first in range(len(late))]:
            raise Disturbed("the process got the processor often enough after all")
    body.says("control cycles in a row", 1)
    process.send_signal(signal.SIGSTOP)
    return begun


def fed(scene: Scene) -> float:
    """The process gets the processor again."""
    now = time.monotonic()
    scene.process.send_signal(signal.SIGCONT)
    return now


def clock_stopped(scene: Scene) -> float:
    """``/clock`` stands still since its last message."""
    scene.body.clock_runs = False
    return scene.body.sent["/clock"]


def clock_running(scene: Scene) -> float:
    """``/clock`` goes on."""
    scene.body.clock_runs = True
    return time.monotonic()


def clock_back(scene: Scene) -> float:
    """``/clock`` falls back by 5 s, and stands still so that nothing new can come."""
    body = scene.body
    body.sim_time -= 5.0
    since = body.sent["/clock"]
    assert body.until(lambda: body.sent["/clock"] > since, 1)
    body.clock_runs = False
    return body.sent["/clock"]


def activated_without_clock(scene: Scene) -> float:
    """A node is activated that has never heard a ``/clock``."""
    signalled(signal.SIGTERM)(scene)
    scene.body.clock_runs = False
    scene.start()
    assert scene.body.says("waiting for /clock"), "the node does not start"
    assert scene.body.transition(DEACTIVATE)
    return transition(ACTIVATE)(scene)


def alternating(topic: str, *frames: str) -> Step:
    """Messages on the topic are in the ``frames`` in turn from now on."""

    def inject(scene: Scene) -> float:
        turns = itertools.cycle(frames)  # of this robot only

        def edit(message):
            message.header.frame_id = next(turns)
            return message

        return spoilt(edit, topic)(scene)

    return inject


def doubled(scene: Scene) -> float:
    """A second lidar publishes on the topic of the first."""
    scene.body.double("scan", RELIABLE)
    return time.monotonic()


def single(scene: Scene) -> float:
    """It does not any more."""
    scene.body.single()
    return time.monotonic()


def mistyped(scene: Scene) -> float:
    """The lidar is replaced by one that gives another type of message."""
    begun = scene.body.sent["scan"]
    scene.body.offer("scan", RELIABLE, PointCloud2)
    return begun


def retyped(scene: Scene) -> float:
    """The lidar gives scans again."""
    scene.body.edits.clear()
    return offering(RELIABLE)(scene)


def heard_as(kind: type | None) -> Step:
    """The base listens for commands of ``kind``, or not at all."""

    def inject(scene: Scene) -> float:
        now = time.monotonic()
        scene.body.listen_to(kind)
        return now

    return inject


def clock_set(seconds: float) -> Step:
    """The computer's clock is set, which is that of the sensors, too."""

    def inject(scene: Scene) -> float:
        offset = scene.wall_clock.offset + seconds
        scene.wall_clock.set(offset)
        scene.body.offset = offset
        return time.monotonic()

    return inject


def nothing(scene: Scene) -> float:
    """It recovers without help."""
    return time.monotonic()
