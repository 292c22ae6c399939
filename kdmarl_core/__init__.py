"""Train a cooperative expert offline and distil it into small per-robot policies."""

import os

__version__ = "0.1.0"

# ONNX Runtime, from 1.29 on, reports usage to its makers unless this stands before its first import; every import of
# this package passes here. It is set whatever the environment says: that a robot's node talks to its middleware and to
# nobody else is to hold without a look at the variables of each robot's image. Child processes inherit it.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
