"""What holds for all tests."""

import os

# Inherited by every process that a test starts: nothing leaves this machine, no window opens.
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
os.environ["MPLBACKEND"] = "Agg"
