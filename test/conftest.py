"""What holds for all tests."""

import os

from loopback import LOOPBACK

# Inherited by every process that a test starts: nothing leaves this machine, no window opens.
os.environ |= LOOPBACK
os.environ["MPLBACKEND"] = "Agg"
# Networks as small as these gain nothing from more threads, and on a busy machine threads that wait for each other cost
# ten times the work.
os.environ.setdefault("OMP_NUM_THREADS", "1")
