"""Manifests: strict, versioned, and checked against the robot."""

import msgspec
import pytest

from kdmarl_core.contract import KdmarlError, Manifest, load_robot_types, mismatches
from kdmarl_core.contract.manifest import Domain, Provenance
from kdmarl_core.contract.sensors import LidarSensor, Sensors
from kdmarl_core.contract.terms import Goal, Lidar, RangeSensors
from support import ROBOT_TYPES

TYPES = load_robot_types(ROBOT_TYPES)
for name, lidar in (
    ("wide", LidarSensor(beams=90, range=8.0)),
    ("narrow", LidarSensor(beams=270, range=3.5, fov=4.71)),
):
    TYPES[name] = msgspec.structs.replace(TYPES["scout"], sensors=Sensors(lidar=lidar))
MINI = {"robot_type": "mini", "action": TYPES["mini"].action}


def manifest(**changes) -> Manifest:
    base = {
        "name": "navigation_scout",
        "task": "navigation",
        "robot_type": "scout",
        "observation": [Lidar(36, 3.5), Goal(5.0)],
        "action": TYPES["scout"].action,
        "control_period": 0.1,
        "provenance": Provenance(kdmarl_version="0", commit="c", config_sha256="s", seed=1, expert="e", created="d"),
    }
    return Manifest(**base | changes)


def test_round_trip():
    original = manifest()
    assert Manifest.from_json(original.to_json(), "x") == original
    assert original.observation_size == 39


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda m: m.update(schema_version=2), "schema_version is 2, this version of kdmarl reads 1"),
        (lambda m: m.pop("schema_version"), "missing required field `schema_version`"),
        (lambda m: m["observation"][0].update(sectors="many"), r"\$\.observation\[0\]\.sectors: expected `int`"),
        (lambda m: m["observation"][0].update(term="sonar"), r"\$\.observation\[0\]"),
        (lambda m: m["observation"][0].update(sectors=0), ">= 1"),
        (lambda m: m.update(control_period=0), ">= 0.001"),
        (lambda m: m.update(robot_typ="scout"), "did you mean 'robot_type'"),
        (lambda m: m["action"].update(linear=[0.5, 1.0]), "lowest <= 0 < highest"),
    ],
)
def test_wrong_manifests_name_the_place(edit, message):
    data = msgspec.json.decode(manifest().to_json())
    edit(data)
    with pytest.raises(KdmarlError, match=message) as caught:
        Manifest.from_json(msgspec.json.encode(data), "policy.onnx")
    assert str(caught.value).startswith("policy.onnx: ")


def test_not_json():
    with pytest.raises(KdmarlError, match="not valid JSON"):
        Manifest.from_json(b"\xff{", "policy.onnx")


@pytest.mark.parametrize(
    ("changes", "robot", "message"),
    [
        ({}, "scout", None),
        ({}, "carrier", "robot type 'scout', this robot is a 'carrier'"),
        ({}, "mini", "needs a lidar"),
        ({"observation": [RangeSensors(8, 2.0)]}, "scout", "needs 8 range sensors, the robot has 0"),
        ({"observation": [Lidar(36, 3.6)]}, "scout", "sees 3.6 m far, the robot's sees 3.5 m"),
        ({"robot_type": "wide"}, "wide", None),
        ({"robot_type": "narrow"}, "narrow", "looks 3.14 rad to each side, the robot's looks from -2.35 to 2.35 rad"),
        ({"robot_type": "narrow", "observation": [Lidar(36, 3.5, 4.7)]}, "narrow", None),
        ({**MINI, "observation": [RangeSensors(8, 2.0)]}, "mini", None),
        ({**MINI, "observation": [RangeSensors(8, 2.5)]}, "mini", "see 2.5 m far, the robot's see 2 m"),
        ({}, "carrier", "commands up to"),
        ({}, "omni", "drives by diff_drive commands, the robot by holonomic commands"),
        ({"robot_type": "omni", "action": TYPES["omni"].action}, "omni", None),
        (
            {
                "domain": Domain(
                    radius=(0.3, 0.4),
                    team_size=(1, 2),
                    arena=(1, 2),
                    sensor_noise=(0, 0),
                    action_delay=(0, 0),
                    other_speed=1,
                )
            },
            "scout",
            "radius is 0.18 m",
        ),
    ],
)
def test_mismatches(changes, robot, message):
    found = mismatches(manifest(**changes), robot, TYPES[robot])
    if message is None:
        assert found == []
    else:
        assert any(message in sentence for sentence in found)
