"""``SHA256SUMS``: which bytes the policy files of a folder had when they were made, in the format of ``sha256sum``.

It tells a file that was damaged, exchanged or forgotten on the way to a robot. It is not a signature: whoever can
change the policies can change the list too, so compare it with one from a source that you trust.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from kdmarl_core.contract.files import read_bytes
from kdmarl_core.contract.writing import replacing
from kdmarl_core.errors import KdmarlError

SUMS = "SHA256SUMS"
"""Name of the list."""

MAX_BYTES = 2**20
"""Largest list that is read [bytes]."""


def read_sums(folder: Path) -> dict[str, str]:
    """The list of a folder: file → SHA-256 in hex.

    Raises:
        KdmarlError: there is no list, or a line of it is not the checksum of a file in that folder.
    """
    path = folder / SUMS
    lines = read_bytes(path, MAX_BYTES, f"a list of checksums ({SUMS})").decode(errors="replace").splitlines()
    sums: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        found = re.fullmatch(r"([0-9a-f]{64}) [ *]([^/\\]+)", line)
        if not found or found[2] in sums:
            raise KdmarlError(f"{path} line {number}: no checksum of a file beside it; make the list with sha256sum")
        sums[found[2]] = found[1]
    return sums


def note_sum(path: Path) -> None:
    """Put a file that was just written into its folder's list, if the folder has one.

    Raises:
        KdmarlError: the list cannot be read or written.
    """
    target = path.parent / SUMS
    if not target.exists():
        return
    sums = read_sums(path.parent) | {path.name: hashlib.sha256(path.read_bytes()).hexdigest()}
    with replacing(target) as scratch:
        scratch.write_text("".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items())))
