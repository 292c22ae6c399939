"""Capacity planning: what a student costs, and the largest students within a robot type's budget."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec

from kdmarl_core.contract import ActionSpace, Continuous, KdmarlError
from kdmarl_core.contract.robots import Budget
from kdmarl_core.expert.networks import Head, NetworkConfig

SHAPES = {
    "two equal layers": (1.0, 1.0),
    "one layer": (1.0,),
    "three equal layers": (1.0, 1.0, 1.0),
    "narrowing": (1.0, 0.5),
    "widening": (0.5, 1.0),
}
"""Name → width of each layer relative to the widest; widening suits many inputs, where the first layer costs most."""
USUAL = "two equal layers"
SHARES = (0.5, 0.25, 0.125)
"""Of the usual shape's MACs: smaller candidates, which show what the budget buys."""
MIN_WIDTH, MAX_WIDTH = 4, 512
"""Narrower layers lose almost all of an observation; wider ones are not small students."""
NARROW = 8
"""A layer below this is considered a bottleneck when nothing has been measured."""
LIMITS = {"macs": "MACs", "parameters": "parameters", "bytes": "bytes", "latency": "s"}
"""What a budget may limit → its unit."""

Timer = Callable[[NetworkConfig], float]
"""Measured latency of a network with random weights [s]."""


class Cost(NamedTuple):
    """Cost of one inference of a policy file."""

    macs: int
    """of the linear layers, as everywhere in this project"""
    parameters: int
    """weights and biases, and mean and scale of every input"""
    bytes: int
    """of all constants in the file"""
    latency: float | None = None
    """[s]; None if not measured"""

    def exceeded(self, budget: Budget) -> list[str]:
        """Names of the limits that this cost exceeds; unmeasured costs exceed none."""
        pairs = ((name, getattr(self, name), getattr(budget, name)) for name in LIMITS)
        return [name for name, value, limit in pairs if value is not None and limit is not None and value > limit]


class Candidate(NamedTuple):
    """A student that fits its budget."""

    shape: str
    network: NetworkConfig
    cost: Cost


class Student(NamedTuple):
    """The properties of a robot type that determine its student's cost."""

    robot_type: str
    inputs: int
    action: ActionSpace
    network: NetworkConfig
    """everything but the widths"""
    int8: bool = False
    """whether its policy file is quantised"""
    masked: bool = False
    """whether it observes which actions are available"""

    def of(self, hidden: tuple[int, ...]) -> NetworkConfig:
        """The network with these widths."""
        return msgspec.structs.replace(self.network, hidden=hidden)


def cost(student: Student, hidden: tuple[int, ...]) -> Cost:
    """The cost of a student with hidden layers of these widths, without latency."""
    outputs = Head(student.action, student.of(hidden)).outputs
    sizes = [student.inputs, *hidden, outputs]
    macs = sum(a * b for a, b in itertools.pairwise(sizes))
    parameters = macs + sum(sizes[1:]) + 2 * student.inputs
    # Clipping has two constants; scaling to a command has low and span per value, and two more; an index has 8 bytes.
    constants = 2 + (2 * student.action.size + 2 if isinstance(student.action, Continuous) else 2)
    if student.masked:
        constants += 6  # start and end of the mask, eight bytes each; its threshold, and the logit of masked actions
    in_file = 4 * (parameters + constants)
    if student.int8:
        # Per output, scale and zero point of weight and bias; per layer, scale and zero point of its input.
        in_file += -3 * macs + (4 + 1 + 4 + 4) * sum(sizes[1:]) + (4 + 1) * (len(sizes) - 1)
    return Cost(macs, parameters, in_file)


def candidates(student: Student, budget: Budget, timer: Timer | None = None) -> list[Candidate]:
    """The largest student of each shape that fits, and smaller ones of the usual shape; the usual one first.

    Args:
        student: the robot type's properties.
        budget: with at least one limit.
        timer: needed for a latency budget only; it is called only for networks within the other limits.

    Raises:
        KdmarlError: the student has memory, the budget has no limit, or nothing fits it.
    """
    if student.network.memory:
        raise KdmarlError(
            f"{student.robot_type}: students with memory are not planned; set its memory to 0 for the plan"
        )
    if not any(getattr(budget, name) is not None for name in LIMITS):
        raise KdmarlError(
            f"{student.robot_type}: has no budget; give it one in the robots' file or with "
            f"--budget '{student.robot_type}={{macs: 3000}}'"
        )
    plan = _Plan(student, timer if budget.latency is not None else None)
    found = list(_distinct(plan, budget))
    if not found:
        raise KdmarlError(_nothing_fits(plan, budget))
    return found


def choose(found: list[Candidate]) -> Candidate:
    """The default choice without measurements: the first without a bottleneck, so two equal layers where they fit."""
    return next((one for one in found if min(one.network.hidden) >= NARROW), found[0])


def limit_of_growth(student: Student, taken: Candidate, budget: Budget) -> str:
    """Why the candidate is not larger: what the next wider one would exceed; empty if it exceeds no counted limit."""
    wider = cost(student, tuple(width + 1 for width in taken.network.hidden))
    return ", ".join(amount(wider, name) for name in wider.exceeded(budget))


def amount(spent: Cost | Budget, name: str) -> str:
    """One of ``LIMITS`` with its unit, such as ``3,000 MACs``."""
    value = getattr(spent, name)
    if name == "latency":
        return f"{value * 1e6:,.0f} us" if value >= 1e-4 else f"{value * 1e6:.3g} us"
    return f"{value:,} {LIMITS[name]}"


class _Plan:
    """Costs of networks for one student; each is timed once."""

    def __init__(self, student: Student, timer: Timer | None) -> None:
        self.student, self._timer = student, timer
        self._times: dict[tuple[int, ...], float] = {}

    def timed(self, hidden: tuple[int, ...]) -> Cost:
        """Cost with latency, if that is limited."""
        counted = cost(self.student, hidden)
        if self._timer is None:
            return counted
        if hidden not in self._times:
            self._times[hidden] = self._timer(self.student.of(hidden))
        return counted._replace(latency=self._times[hidden])

    def largest(self, ratios: tuple[float, ...], budget: Budget) -> tuple[int, ...] | None:
        """The widest network of a shape that fits: counts grow with the width, and so does time, apart from noise."""
        top = _bisect(lambda w: not cost(self.student, _widths(ratios, w)).exceeded(budget), MAX_WIDTH, 1.0)
        if top and self.timed(_widths(ratios, top)).exceeded(budget):
            # Every step exports and measures a file: a tenth is accurate enough.
            top = _bisect(lambda w: not self.timed(_widths(ratios, w)).exceeded(budget), top, 1.1)
        return _widths(ratios, top) if top else None


def _bisect(fits: Callable[[int], bool], high: int, near: float) -> int | None:
    """The largest width up to ``high`` found to fit, to within a factor ``near``; None if none does."""
    if not fits(MIN_WIDTH):
        return None
    if fits(high):
        return high
    low = MIN_WIDTH
    while high - low > 1 and high > low * near:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _widths(ratios: tuple[float, ...], width: int) -> tuple[int, ...]:
    return tuple(max(MIN_WIDTH, round(ratio * width)) for ratio in ratios)


def _distinct(plan: _Plan, budget: Budget) -> Iterator[Candidate]:
    seen = set()
    for shape, ratios, limits in _wanted(plan, budget):
        hidden = plan.largest(ratios, limits)
        if hidden and hidden not in seen:
            seen.add(hidden)
            yield Candidate(shape, plan.student.of(hidden), plan.timed(hidden))


def _wanted(plan: _Plan, budget: Budget) -> Iterator[tuple[str, tuple[float, ...], Budget]]:
    """Name, shape and limits of each candidate."""
    for shape, ratios in SHAPES.items():
        yield shape, ratios, budget
    if whole := plan.largest(SHAPES[USUAL], budget):
        macs = cost(plan.student, whole).macs
        for share in SHARES:
            yield f"{share:g} of its MACs", SHAPES[USUAL], msgspec.structs.replace(budget, macs=int(share * macs))


def _nothing_fits(plan: _Plan, budget: Budget) -> str:
    hidden = (MIN_WIDTH,)
    smallest = plan.timed(hidden)
    limits = ", ".join(amount(budget, name) for name in LIMITS if getattr(budget, name) is not None)
    costs = ", ".join(amount(smallest, name) for name in smallest.exceeded(budget))
    return (
        f"{plan.student.robot_type}: no student fits a budget of {limits}; the smallest, one hidden layer of "
        f"{MIN_WIDTH} on {plan.student.inputs} inputs, takes {costs}; raise the budget or let it observe less"
    )
