"""What is planned for a robot type."""

from __future__ import annotations

from typing import NamedTuple

from kdmarl_core.contract.robots import Budget
from kdmarl_core.distill.capacity import Candidate, Student


class Planned(NamedTuple):
    """One robot type's candidates."""

    student: Student
    budget: Budget
    candidates: list[Candidate]
