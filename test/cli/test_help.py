"""``--help`` answers at once: nothing is imported for it that only the commands need."""

import subprocess
import sys

import pytest

HEAVY = ("numpy", "msgspec", "yaml", "onnxruntime", "torch", "numba", "mujoco", "rclpy", "matplotlib")


@pytest.mark.parametrize("module", ["kdmarl_core.cli", "kdmarl_ros.swarm_cli"])
def test_help_imports_nothing_heavy(module):
    program = (
        f"import sys\nfrom {module} import main\nsys.argv[1:] = ['--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print(*(name for name in {HEAVY} if name in sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert "Usage" in done.stdout or "usage" in done.stdout
    assert done.stderr.split() == []
