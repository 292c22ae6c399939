"""The SMAX task as written in a config file; needs no jax."""

from __future__ import annotations

from types import ModuleType
from typing import Annotated, Literal

import msgspec

from kdmarl_core.contract import KdmarlError

Count = Annotated[int, msgspec.Meta(ge=1)]


class Sight(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How many of the units within its sight range an agent sees; None: all of them."""

    allies: Count | None = None
    """that many of the nearest; each stands in the place it always has, with zeros for the others"""
    enemies: Count | None = None
    """likewise; that others can be attacked still shows in the action mask"""


class SmaxConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="smax"):
    """The task as written in a config file."""

    scenario: str
    """one that jaxmarl knows, such as 2s3z"""
    max_steps: Count = 100
    """as jaxmarl counts: a battle is cut off after one more"""
    observations: dict[Literal["expert", "student"], Sight] = {}
    """view → what it sees of the units in sight; all of them by default"""

    def sight(self, view: str) -> Sight:
        """What ``view`` sees."""
        return self.observations.get(view, Sight())  # type: ignore[call-overload]

    def types(self) -> list[tuple[str, int]]:
        """Unit types of the team with their counts, in the order of the agents.

        Raises:
            KdmarlError: there is no such scenario, or jaxmarl is not installed.
        """
        found: list[tuple[str, int]] = simulator().team(self.scenario)
        return found


def simulator() -> ModuleType:
    """The module that needs jax.

    Raises:
        KdmarlError: jaxmarl, or a package that it needs, is not installed.
    """
    try:
        from kdmarl_core.envs.smax import simulator as module
    except ModuleNotFoundError as error:
        raise KdmarlError(
            f"task smax: {error.name} is not installed; pip install kdmarl_ros[smax], with Python 3.11 or newer"
        ) from None
    return module
