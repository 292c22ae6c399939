"""Finds environments that write again into arrays that they have given away."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np

from kdmarl_core.contract import KdmarlError


class Kept:
    """Arrays of one environment that are kept, and must stay as they are.

    An environment that fills one buffer again and again would otherwise turn a rollout into copies of its last moment,
    and training would go on without a word.
    """

    def __init__(self) -> None:
        self._arrays: dict[int, tuple[np.ndarray, int]] = {}  # by address, which is theirs while the array is here

    def keep(self, what: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Note what one call gave; ``what`` names the call, and the arrays' names are those of groups.

        Raises:
            KdmarlError: an array has the memory of one of an earlier call, and other values.
        """
        for name, array in arrays.items():
            address, content = array.__array_interface__["data"][0], zlib.crc32(np.ascontiguousarray(array).data)
            before = self._arrays.get(address)
            if array.size and before and before[1] != content:
                raise KdmarlError(
                    f"{what} gives the array of '{name}' a second time with other values, and the earlier ones are "
                    "lost; give a copy (see kdmarl_core.envs.base.BatchedEnv)"
                )
            self._arrays[address] = (array, content)
