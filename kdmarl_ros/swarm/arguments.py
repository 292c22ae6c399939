"""Values of arguments on command lines and of launch files."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from kdmarl_core.contract import KdmarlError

T = TypeVar("T")


def names_of(text: str) -> list[str]:
    """Names that are separated by commas."""
    return [name for part in text.split(",") if (name := part.strip())]


def number(name: str, text: str, type_: Callable[[str], T]) -> T:
    """The value of a launch argument.

    Raises:
        KdmarlError: it is not a number.
    """
    try:
        return type_(text)
    except ValueError:
        raise KdmarlError(f"{name} is '{text}'; give a number") from None


def check_numbers(real_time_factor: float, seed: int) -> None:
    """See that a simulator's numbers make sense.

    Raises:
        KdmarlError: one does not.
    """
    if not 0 <= real_time_factor <= 100:
        raise KdmarlError(f"real_time_factor is {real_time_factor:g}; give 0 (as fast as possible) to 100")
    if not 0 <= seed < 2**31:
        raise KdmarlError(f"seed is {seed}; give 0 to {2**31 - 1}")
