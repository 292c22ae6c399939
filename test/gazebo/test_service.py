"""Gazebo's command line, by a stand-in that notes its arguments and prints a given answer."""

import pytest

from kdmarl_core.contract import KdmarlError
from kdmarl_core.gazebo import service
from kdmarl_core.gazebo.service import begin, is_running, missing, wait_for
from kdmarl_core.gazebo.versions import RELEASES

HARMONIC = RELEASES["harmonic"]


@pytest.fixture
def gazebo(tmp_path, monkeypatch):
    """Makes the command; returns the file in which it notes its arguments."""

    def make(answer, name="gz"):
        script = tmp_path / name
        script.write_text(f"#!/bin/sh\necho \"$@\" >> {tmp_path}/asked\necho '{answer}'\n")
        script.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        return tmp_path / "asked"

    return make


def test_time_begins(gazebo):
    asked = gazebo("data: true")
    begin(HARMONIC, "hall")
    assert asked.read_text().splitlines() == [
        "service -s /world/hall/control --reqtype gz.msgs.WorldControl --reptype gz.msgs.Boolean --timeout 3000 "
        "--req pause: false"
    ]


def test_a_world_that_does_not_answer_is_asked_again_and_named(gazebo):
    asked = gazebo("Service call timed out")
    with pytest.raises(KdmarlError, match="Gazebo's world 'hall' did not begin .Service call timed out.; see what"):
        begin(HARMONIC, "hall")
    assert len(asked.read_text().splitlines()) == service.TRIES


def test_a_world_that_runs_is_known_by_its_services(gazebo):
    asked = gazebo("/world/hall/create\n/gazebo/worlds", "ign")
    assert is_running(RELEASES["fortress"], "hall")
    assert not is_running(RELEASES["fortress"], "hal")
    assert asked.read_text().splitlines() == ["service -l"] * 2


def test_without_the_command_the_remedy_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(KdmarlError, match="'gz', the command of Gazebo Sim, is not found; apt install"):
        is_running(HARMONIC, "hall")


def test_robots_are_known_by_their_topics(gazebo, monkeypatch):
    monkeypatch.setattr(service, "PAUSE", 0.01)
    asked = gazebo("/a/ground_truth\n/clock")
    assert missing(HARMONIC, ["/a/ground_truth", "/b/ground_truth"]) == ["/b/ground_truth"]
    wait_for(HARMONIC, {"a": "/a/ground_truth"})
    assert asked.read_text().splitlines() == ["topic -l"] * 2
    with pytest.raises(KdmarlError, match="not in Gazebo's world after they were put into it: b; see what"):
        wait_for(HARMONIC, {"a": "/a/ground_truth", "b": "/b/ground_truth"})


def test_a_command_that_hangs_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(service, "TIMEOUT", 0.2)
    (tmp_path / "gz").write_text("#!/bin/sh\nexec sleep 5\n")
    (tmp_path / "gz").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(KdmarlError, match="gz service did not answer within 0.2 s; start it again"):
        is_running(HARMONIC, "hall")
