"""Settings for all tests."""

import os
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from loopback import LOOPBACK

# Inherited by every process that a test starts: no network use beyond this machine, no windows.
os.environ |= LOOPBACK
os.environ["MPLBACKEND"] = "Agg"
# Such small networks gain nothing from more threads, and on a busy machine threads that wait for each other take ten
# times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def _one_table_of_operators() -> None:
    """Build torch's table of ONNX operators once for all exports of a process: it takes longer than a small export."""
    if "torch" in sys.modules:
        _keep_table_of_operators()


@cache
def _keep_table_of_operators() -> None:
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    ONNXRegistry.from_torchlib = staticmethod(cache(ONNXRegistry.from_torchlib))


@pytest.fixture(autouse=True)
def _forget_modules_of_a_test(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The next test may write a module of the same name into another folder."""
    before = set(sys.modules)
    yield
    folder = tmp_path_factory.getbasetemp()
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None)
        if file and folder in Path(file).parents:
            del sys.modules[name]
