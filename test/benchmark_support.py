"""What tests of benchmarks share."""

from kdmarl_core.benchmark import ledger
from support import REPOSITORY

SMOKE = REPOSITORY / "config/benchmarks/smoke.yaml"


def result(task, method):
    values = {"students": 0.5, "expert": 1.0, "random": 0.0}
    return ledger.Row(
        task=task, method=method, seed=1, sha256="", commit="", command="", episodes=1, types={"agent": [0]},
        costs={"agent": ledger.Cost(macs=1, expert_macs=30, parameters=1, bytes=4)}, env_steps={},
        seconds={"policies": 1.0}, **{who: {"return": [value]} for who, value in values.items()},
    )  # fmt: skip
