"""Robot types: numbers that a robot cannot have are refused."""

import pytest
import yaml

from kdmarl_core.contract import KdmarlError, load_robot_types
from support import ROBOT_TYPES


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda r: r.update(radius=float("inf")), r"\$\[\.\.\.\]\.radius"),
        (lambda r: r.update(radius=float("nan")), r"\$\[\.\.\.\]\.radius"),
        (lambda r: r["action"].update(linear=[-0.3, 1e300]), "linear is"),
        (lambda r: r["action"].update(angular=[float("nan"), 1]), "angular is"),
        (lambda r: r["action"].update(linear_acceleration=float("inf")), "linear_acceleration"),
        (lambda r: r["sensors"]["range_sensors"].update(bearings=[float("nan")]), r"bearings\[0\]"),
        (
            lambda r: r["sensors"].update(
                lidar={"beams": 9, "range": 2.0, "ignore_below": 0.1, "mounting": {"x": -0.04}}
            ),
            "ignore_below of lidar reaches 0.140 m from the robot's centre, its radius is 0.12 m",
        ),
    ],
)
def test_numbers_are_those_of_a_robot(tmp_path, edit, words):
    types = yaml.safe_load(ROBOT_TYPES.read_text())
    edit(types["mini"])
    path = tmp_path / "robots.yaml"
    path.write_text(yaml.safe_dump(types))
    with pytest.raises(KdmarlError, match=words):
        load_robot_types(path)


def test_a_key_of_other_kinematics_is_not_suggested(tmp_path):
    types = yaml.safe_load(ROBOT_TYPES.read_text())
    assert types["mini"]["action"]["kind"] == "diff_drive"
    types["mini"]["action"]["lateral"] = [-0.3, 0.3]
    path = tmp_path / "robots.yaml"
    path.write_text(yaml.safe_dump(types))
    with pytest.raises(
        KdmarlError, match=r"unknown key 'lateral'; remove it, or change kind \(diff_drive has only kind, "
    ):
        load_robot_types(path)
