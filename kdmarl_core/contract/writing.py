"""Writing files: what the operating system refuses is one sentence, and a reader never finds a part of a file."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from kdmarl_core.errors import KdmarlError


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Work that makes or changes ``path``.

    Raises:
        KdmarlError: the operating system refuses, be it for want of space or of permission.
    """
    try:
        yield
    except OSError as error:
        raise KdmarlError(
            f"{path}: cannot be written ({error.strerror or error}); free the disk or choose another folder"
        ) from None


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a scratch file that takes the place of ``path`` when the work is done, and is gone when it fails.

    It is this process's own for this path, so that those who write the same file or its neighbours are not in the way.

    Raises:
        KdmarlError: as :func:`writing`; ``path`` is what it was before.
    """
    scratch = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with writing(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield scratch
            os.replace(scratch, path)
        except BaseException:
            with contextlib.suppress(OSError):
                scratch.unlink()
            raise
