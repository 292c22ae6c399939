"""Train a cooperative expert offline and distil it into small per-robot policies."""

import os

__version__ = "0.1.0"

# ONNX Runtime, from 1.29 on, sends telemetry to its makers unless this is set before its first import; every import of
# this package runs this line. It overrides the environment, so that a robot's node never communicates with anything but
# its middleware, whatever variables the robot's image sets. Child processes inherit it.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
