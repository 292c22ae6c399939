"""Settings for all tests."""

import os

from loopback import LOOPBACK

# Inherited by every process that a test starts: no network use beyond this machine, no windows.
os.environ |= LOOPBACK
os.environ["MPLBACKEND"] = "Agg"
# Such small networks gain nothing from more threads, and on a busy machine threads that wait for each other take ten
# times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")
