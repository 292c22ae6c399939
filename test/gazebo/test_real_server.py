"""Generated worlds in a real Gazebo server, where one is: ``KDMARL_GAZEBO`` has the command that runs a world.

Such as ``gz sim -r -s -v 2 --iterations 400``. ``KDMARL_GAZEBO_RELEASE`` names its release, ``KDMARL_GAZEBO_LIDARS``
how it measures distances.
"""

import os
import shlex
import subprocess

import pytest

from gazebo_support import write_merged
from kdmarl_core.contract import load_swarm
from kdmarl_core.gazebo.versions import RELEASES, Lidars
from support import REPOSITORY

COMMAND = os.environ.get("KDMARL_GAZEBO", "")

pytestmark = pytest.mark.skipif(not COMMAND, reason="KDMARL_GAZEBO names no command that runs a Gazebo world")


@pytest.mark.parametrize("name", ["crossing", "omni", "coverage", "passage"])
def test_the_world_runs_without_an_error(tmp_path, name):
    release = RELEASES[os.environ.get("KDMARL_GAZEBO_RELEASE", "harmonic")]
    lidars = Lidars(os.environ.get("KDMARL_GAZEBO_LIDARS", "rendering"))
    write_merged(load_swarm(REPOSITORY / "config/swarms" / f"{name}.yaml"), tmp_path, release, lidars, factor=0.0)
    command = [*shlex.split(COMMAND), str(tmp_path / "merged.sdf")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "[Err]" not in done.stdout + done.stderr
