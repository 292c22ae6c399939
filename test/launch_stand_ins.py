"""Launch files without a ROS distribution, on stand-ins of ``launch`` and ``launch_ros``."""

import importlib.util
import sys
from contextlib import contextmanager

from support import REPOSITORY

STAND_INS = REPOSITORY / "test" / "stand_ins"


@contextmanager
def stand_ins():
    """Import ``launch`` and ``launch_ros`` from the stand-ins, even where there are real ones."""

    def forget():
        names = [name for name in sys.modules if name.partition(".")[0] in ("launch", "launch_ros")]
        return {name: sys.modules.pop(name) for name in names}

    real = forget()
    sys.path.insert(0, str(STAND_INS))
    try:
        yield
    finally:
        sys.path.remove(str(STAND_INS))
        forget()
        sys.modules.update(real)


def module_of(path):
    spec = importlib.util.spec_from_file_location(path.stem.replace(".", "_"), path)
    module = importlib.util.module_from_spec(spec)
    with stand_ins():
        spec.loader.exec_module(module)
    return module
