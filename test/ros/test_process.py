"""What every process with nodes does first."""

import subprocess
import sys

PROGRAM = """
import sys
from rclpy.node import Node
from kdmarl_ros.process import COMPILER, initialise

initialise(None)
node = Node("lean")
assert "rosidl_generator_py" in sys.modules and sys.modules[COMPILER] is None
node.destroy_node()
"""


def test_a_node_does_without_the_compiler_of_messages():
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, timeout=60)
