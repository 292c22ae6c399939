"""Numbers that no robot may drive by are refused before numpy sees them."""

import math

import pytest
from geometry_msgs.msg import Quaternion
from nav_msgs.msg import Odometry

from kdmarl_core.contract.bounds import LARGEST
from kdmarl_core.contract.planar import Planar
from kdmarl_core.runtime.faults import Cause, Fault
from kdmarl_ros.robot.messages import to_goal, to_motion, to_neighbors, to_targets
from robot_body import place, places

AHEAD = Quaternion(w=1.0)


def odometry(x=0.0, speed=0.0):
    message = Odometry()
    message.header.frame_id = "map"
    message.pose.pose.position.x, message.pose.pose.orientation = x, AHEAD
    message.twist.twist.linear.x = speed
    return message


def neighbors(x):
    message = places((x, 0.0))
    message.poses[0].orientation = AHEAD
    return to_neighbors(message, None)


@pytest.mark.parametrize("number", [0.3, math.nan])
def test_a_speed_to_the_left_is_read_where_it_is_asked_for(number):
    message = odometry(speed=0.5)
    message.twist.twist.linear.y = number
    assert to_motion(message).left == 0.0
    if math.isfinite(number):
        assert to_motion(message, sideways=True).left == number
        return
    with pytest.raises(Fault, match="not finite"):
        to_motion(message, sideways=True)


HERE = Planar()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("number", [math.nan, math.inf, 1e39, -1e300, 2 * LARGEST])
@pytest.mark.parametrize(
    "convert",
    [
        lambda number: to_motion(odometry(x=number)),
        lambda number: to_motion(odometry(speed=number)),
        lambda number: to_goal(place(number, 0.0), HERE),
        lambda number: to_targets(places((0.0, number)), HERE),
        neighbors,
    ],
    ids=["place", "speed", "goal", "targets", "neighbors"],
)
def test_numbers_beyond_all_robots_are_malformed(convert, number):
    with pytest.raises(Fault, match="not finite or beyond 1e") as error:
        convert(number)
    assert error.value.cause is Cause.MALFORMED
