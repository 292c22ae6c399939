"""Helpers for tests of benchmarks."""

from kdmarl_core.benchmark import ledger
from kdmarl_core.benchmark.ledger import Cost, Ledger, Row
from support import REPOSITORY

SMOKE = REPOSITORY / "config/benchmarks/smoke.yaml"
RESULTS = [REPOSITORY / f"docs/results/{name}.json" for name in ("main", "limited", "ablation")]
"""Result files in the repository."""
COSTS = {"big": Cost(macs=100, expert_macs=3000, parameters=110, bytes=440),
         "small": Cost(macs=50, expert_macs=3000, parameters=60, bytes=240)}  # fmt: skip


def result(task, method):
    """A unit of one agent with a retention of 0.5."""
    values = {"students": 0.5, "expert": 1.0, "random": 0.0}
    return Row(
        task=task, method=method, seed=1, sha256="", commit="", command="", episodes=1, types={"agent": [0]},
        costs={"agent": Cost(macs=1, expert_macs=30, parameters=1, bytes=4)}, env_steps={},
        seconds={"policies": 1.0}, **{who: {"return": [value]} for who, value in values.items()},
    )  # fmt: skip


def row(task="spread", method="kdmarl", seed=1, students=(8.0, 8.0, 5.0), sha256="a"):
    """A unit of two big robots and a small one, with returns of 10 of the expert and 0 of random commands."""
    returns = {"students": list(students), "expert": [10.0, 10.0, 10.0], "random": [0.0, 0.0, 0.0]}
    return Row(
        task=task, method=method, seed=seed, sha256=sha256, commit="c", episodes=4,
        command=f"kdmarl benchmark x --only {task}/{method}/{seed}",
        types={"big": [0, 1], "small": [2]}, costs=COSTS, env_steps={}, seconds={"policies": 60.0},
        **{who: {"return": values} for who, values in returns.items()},
    )  # fmt: skip


def ledger_of(*units):
    """A ledger with those units."""
    recorded = Ledger(title="t")
    for unit in units:
        recorded = recorded.add(unit)
    return recorded


def aggregated(recorded):
    """The ledger with its rows, as of a finished benchmark."""
    names = {unit.name: "a" for unit in recorded.units}
    notes = {"methods": dict.fromkeys(("kdmarl", "other", "third", "fourth"), "")}
    return ledger.aggregated(recorded, notes, "", names, names)
