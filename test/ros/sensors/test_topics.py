"""What the simulator says of a sensor is what a robot's node reads."""

import math

import numpy as np
import pytest

from kdmarl_core.contract import load_robot_types
from kdmarl_core.contract.sensors import Sensors
from kdmarl_ros.sensors import SENSOR_TOPICS
from support import ROBOT_TYPES, default_observation

TYPES = load_robot_types(ROBOT_TYPES)


class Message:
    """One that has been heard: stamped 0.2 s ago, here for 0.1 s."""

    interval = None

    def __init__(self, message):
        self.message = message

    def since(self, now, arrival_now):
        return 0.2, 0.1


def test_every_sensor_has_topics_of_its_own_with_a_header():
    assert SENSOR_TOPICS.keys() == set(Sensors.kinds())
    topics = [topic for sensor in SENSOR_TOPICS.values() for topic in sensor.topics]
    assert len(topics) == len(set(topics))
    for sensor in SENSOR_TOPICS.values():
        assert isinstance(sensor.example(), sensor.kind)
        assert "header" in sensor.kind.get_fields_and_field_types()


@pytest.mark.parametrize(("name", "part"), [("scout", "lidar"), ("mini", "range_sensors")])
def test_a_measurement_comes_through(name, part):
    sensor, topics = TYPES[name].sensors.carried[part], SENSOR_TOPICS[part]
    terms = [term for term in default_observation(TYPES[name]) if getattr(term, "sensor", "") == part]
    random = np.random.default_rng(0)
    distance = random.uniform(0.0, 1.5 * sensor.range, sensor.rays.size)
    measured = sensor.measure(distance, random)
    messages = topics.messages(sensor, "r1/", 0.1)
    topics.fill(sensor, messages, measured)
    assert all(message.header.frame_id.startswith("r1/") for message in messages)
    heard = topics(terms, [Message(message) for message in messages], sensor)
    assert topics.needed(terms[0]) == topics.topics[: len(messages)]
    reading = heard.read()
    np.testing.assert_array_equal(getattr(reading, "ranges", reading), measured)
    assert {math.inf, -math.inf} < set(measured.tolist()) or name == "mini"
    assert heard.ages(0, 0, 0.5)[0] == pytest.approx((0.1, 0.3 if part == "lidar" else 0.2))
