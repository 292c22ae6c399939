"""Numbers that a file or a message may give, as annotations for msgspec."""

from __future__ import annotations

from typing import Annotated

import msgspec

LARGEST = 1e9
"""Largest number that a file or a message may give for anything: neither infinity nor what overflows squared."""

Positive = Annotated[float, msgspec.Meta(gt=0, le=LARGEST)]
NonNegative = Annotated[float, msgspec.Meta(ge=0, le=LARGEST)]
Number = Annotated[float, msgspec.Meta(ge=-LARGEST, le=LARGEST)]
