"""Several lidars on one robot: what they see is merged by their mountings."""

import math
import re

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdmarl_core.contract import Readings, RobotType
from kdmarl_core.contract.files import convert
from kdmarl_core.contract.sensors import LidarSensor, Sensors
from kdmarl_core.contract.sensors.base import Mounting
from kdmarl_core.contract.sensors.lidar import Lidar
from kdmarl_core.contract.sensors.sectors import lidar
from kdmarl_core.errors import KdmarlError
from sensor_room import TURN, message_of

ROBOT = {"radius": 0.3, "action": {"kind": "diff_drive", "linear": [0, 1], "angular": [-1, 1]}}
ROBOT["action"] |= {"linear_acceleration": 1, "angular_acceleration": 2}
HALF = {"beams": 180, "range": 5.0, "fov": math.pi}


def carried(*sensors, labels=("rear", "left", "right")):
    first, *more = sensors
    return Sensors(lidar=first, more_lidars=dict(zip(labels, more, strict=False)) if more else msgspec.UNSET)


def readings(sensors):
    """What each lidar's message says, in the robot frame."""
    return Readings.of_sensors({name: each.on_robot(message_of(each)) for name, each in sensors.carried.items()})


@settings(deadline=None)
@given(
    reach=st.floats(0.0, 0.3), yaw=st.floats(-TURN, TURN), fov=st.floats(1.5 * math.pi, TURN),
    upside_down=st.booleans(),
)  # fmt: skip
def test_two_lidars_that_together_look_all_around_give_the_sectors_of_one(reach, yaw, fov, upside_down):
    """At opposite corners of a robot, each looking away from it."""
    front, rear = (
        LidarSensor(
            beams=math.ceil(360 * fov / TURN), fov=fov, range=5.0,
            mounting=Mounting(x=reach * math.cos(turn), y=reach * math.sin(turn), yaw=turn, upside_down=upside_down),
        )
        for turn in (yaw / 2, yaw / 2 + math.pi)
    )  # fmt: skip
    term = Lidar(sectors=36, range=3.0)
    sensors = carried(front, rear)
    assert sensors.lacks(term) == []
    expected = lidar(message_of(LidarSensor(beams=3600, range=5.0)), 36, 3.0)
    np.testing.assert_allclose(term.compute(readings(sensors)), expected, atol=0.2)


def test_each_sector_has_the_nearest_that_any_lidar_sees():
    """A robot's own post before one of them hides nothing from the other."""
    blocked = LidarSensor(beams=360, range=5.0, hidden=[(-0.5, 0.5)])
    other = LidarSensor(beams=360, range=5.0, mounting=Mounting(x=-0.1, yaw=math.pi))
    term = Lidar(sectors=12, range=3.0, past=1)
    expected = lidar(message_of(LidarSensor(beams=3600, range=5.0)), 12, 3.0)
    now = readings(carried(blocked, other))
    np.testing.assert_allclose(term.compute(now._replace(history=(now,))), np.tile(expected, 2), atol=0.1)


@pytest.mark.parametrize("fov", [2 * math.pi, 4.0, math.pi])
def test_lidars_have_to_look_wherever_the_policy_does(fov):
    left = LidarSensor(**HALF, mounting=Mounting(yaw=0.3))
    right = LidarSensor(**HALF, mounting=Mounting(yaw=-0.3))
    sensors, term = carried(left, right), Lidar(sectors=18, range=3.0, fov=fov)
    found = sensors.lacks(term)
    assert len(found) == (fov > math.pi)
    assert not found or re.search(
        "the policy needs lidars that look .* none of the robot's looks to -?[0-9.]+", found[0]
    )
    assert sensors.untrainable(term) == "; ".join(found)


@pytest.mark.parametrize(("fov", "blind"), [(math.pi, True), (1.2 * math.pi, True), (1.5 * math.pi, False)])
def test_nothing_next_to_the_robot_may_be_out_of_the_sight_of_all(fov, blind):
    """Half a turn ahead and half a turn behind leave out a strip between them."""
    front, rear = (
        LidarSensor(beams=360, range=5.0, fov=fov, mounting=Mounting(x=x, yaw=yaw))
        for x, yaw in ((0.3, 0.0), (-0.3, math.pi))
    )
    assert bool(carried(front, rear).lacks(Lidar(sectors=12, range=3.0))) == blind


def test_all_lidars_have_to_see_as_far_as_the_policy():
    near = LidarSensor(beams=360, range=2.0)
    sensors = carried(LidarSensor(beams=360, range=5.0), near)
    assert sensors.lacks(Lidar(sectors=18, range=3.0)) == [
        "the policy needs a lidar that sees 3 m far, the robot's sees 2 m"
    ]
    assert sensors.untrainable(Lidar(sectors=18, range=3.0)) == "a term reaches 3.0 m, the sensor 2.0 m; lower it"


@pytest.mark.parametrize(
    ("sensors", "sentence"),
    [
        ({"more_lidars": {"rear": HALF}}, "more_lidars has lidars and lidar has none; name the first of them lidar"),
        ({"lidar": HALF, "more_lidars": {"/rear": HALF}}, "more_lidars has '/rear'; give small letters, digits and _"),
        (
            {"lidar": HALF, "more_lidars": {"rear": HALF | {"ignore_below": 0.4}}},
            "ignore_below of lidar.rear reaches 0.400 m",
        ),
    ],
)
def test_files_that_make_no_sense(sensors, sentence):
    with pytest.raises(KdmarlError, match=sentence):
        convert(ROBOT | {"sensors": sensors}, RobotType, "robots.yaml")
