"""What sensors see in an empty room."""

import math

import msgspec
import numpy as np

TURN = 2 * math.pi
HALF = (1.5, 1.1)
"""Half the sides of a room around the robot's centre [m]."""


def wall(origin, angle):
    """From ``origin`` to the wall of the room."""
    cos, sin = math.cos(angle), math.sin(angle)
    along_x = (math.copysign(HALF[0], cos) - origin[0]) / cos if abs(cos) > 1e-12 else math.inf
    along_y = (math.copysign(HALF[1], sin) - origin[1]) / sin if abs(sin) > 1e-12 else math.inf
    return min(along_x, along_y)


def seen(sensor):
    """True distances along its rays, in the order of its messages."""
    origins = np.repeat(sensor.origins, sensor.rays.size // len(sensor.origins), axis=0)
    return np.array([wall(origin, angle) for origin, angle in zip(origins, sensor.rays, strict=True)])


def message_of(sensor):
    """The scan that its messages say, in its own angles."""
    own = msgspec.structs.replace(sensor, mounting=msgspec.UNSET)
    return own.from_rays(own.rays)(seen(sensor).astype(np.float32))
