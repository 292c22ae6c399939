"""What is asked of the messages of a sensor."""

from __future__ import annotations

from kdmarl_core.runtime.faults import Cause, Fault

MAX_INVALID = 0.5
"""Share of a robot's distances that may be invalid in one cycle; beyond it, it is as good as blind."""

SAME_SIGHT = 0.999
"""Share of the range that a policy was trained for which a sensor has to have: drivers round."""


def require_sight(topic: str, farthest: float, sight: float) -> None:
    """See that what comes on ``topic`` sees ``farthest`` [m] where ``sight`` is needed.

    Raises:
        Fault: it sees less far.
    """
    if not farthest >= sight * SAME_SIGHT:  # NaN as well
        raise malformed(
            f"{topic} sees {farthest:g} m far, the policy was trained to see {sight:g} m; set the sensor's greatest "
            "range in its driver, or give a policy that was trained for this sensor"
        )


def malformed(reason: str) -> Fault:
    """What refuses a message."""
    return Fault(Cause.MALFORMED, reason)
