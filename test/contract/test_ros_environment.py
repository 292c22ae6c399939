"""What ROS reads from the environment, before any node is started."""

from pathlib import Path

import pytest

from kdmarl_core.contract import KdmarlError
from kdmarl_core.contract.ros_environment import check_environment, domain, log_folder


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({"ROS_LOG_DIR": "/logs", "ROS_HOME": "/ros", "HOME": "/home/me"}, "/logs"),
        ({"ROS_LOG_DIR": "", "ROS_HOME": "/ros", "HOME": "/home/me"}, "/ros/log"),
        ({"ROS_HOME": "~/ros", "HOME": "/home/me"}, "/home/me/ros/log"),
        ({"HOME": "/home/me"}, "/home/me/.ros/log"),
        ({"ROS_LOG_DIR": "~/logs", "HOME": "/home/me"}, "/home/me/logs"),
        ({"ROS_LOG_DIR": "/logs"}, "/logs"),
    ],
)
def test_where_logs_go(environment, folder):
    assert log_folder(environment) == Path(folder)


@pytest.mark.parametrize("environment", [{}, {"HOME": ""}, {"ROS_LOG_DIR": "~/logs"}, {"ROS_HOME": "~"}])
def test_no_home(environment):
    with pytest.raises(KdmarlError, match="HOME is not set"):
        log_folder(environment)


def test_domains():
    assert domain({}) is domain({"ROS_DOMAIN_ID": ""}) is None
    assert domain({"ROS_DOMAIN_ID": "232"}) == 232
    for value in ("233", "-1", "010", "0x10", " 1", "1 ", "one", "٣", "9" * 5000):
        with pytest.raises(KdmarlError, match="ROS_DOMAIN_ID is '.*'; give 0 to 232"):
            domain({"ROS_DOMAIN_ID": value})


def test_all_that_a_start_needs(tmp_path):
    check_environment({"HOME": str(tmp_path)})
    assert list(tmp_path.iterdir()) == []
    (tmp_path / ".ros").touch()
    with pytest.raises(KdmarlError, match=r"/.ros/log cannot be written \(logs of nodes\); .*/.ros is not a folder"):
        check_environment({"HOME": str(tmp_path)})
    with pytest.raises(KdmarlError, match="ROS_DOMAIN_ID"):
        check_environment({"HOME": "/", "ROS_DOMAIN_ID": "none"})
