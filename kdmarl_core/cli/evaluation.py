"""What ``kdmarl evaluate`` shows."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from kdmarl_core.contract import load_swarm
from kdmarl_core.contract.figures import EVALUATED
from kdmarl_core.experiment.evaluation import Row, evaluate, other_experts
from kdmarl_core.experiment.experiment import Experiment


def show(
    config: Path,
    overrides: list[str],
    output: Path | None,
    models: Path,
    direct: Path | None,
    swarm_paths: list[Path],
    record: bool,
) -> None:
    """Evaluate and print a table; errors as :func:`kdmarl_core.experiment.evaluation.evaluate`."""
    experiment = Experiment.load(config, overrides)
    swarms = [load_swarm(path, allow_outside=True) for path in swarm_paths]  # runs none of their policies
    found = evaluate(experiment, models, output, swarms, direct, record)
    where = experiment.task.measured_in
    if swarms:
        where = f"{len(swarms)} arenas" if len(swarms) > 1 else swarms[0].name
    _print(found.rows, f"{found.rows[0]['episodes']} held-out episodes in {where}, seed {experiment.evaluate.seed}")
    console = Console(soft_wrap=True)
    if found.others:
        console.print(f"{other_experts(found.others)}: retention compares them with this one", markup=False)
    hopeless = [row["robot_type"] for row in found.rows if row["team"] == "expert" and row["retention"] is None]
    if hopeless:
        console.print(
            f"expert ({', '.join(hopeless)}): returns no more than random commands, so there is nothing to retain; "
            "train it longer"
        )
    if record:
        for name, policy in found.policies.items():
            expert, own = found.macs["expert"][name], found.macs["students"][name]
            fewer = f"; {expert / own:.1f}x fewer MACs than the expert" if expert is not None and own else ""
            Console().print(f"{policy.path}: results recorded{fewer}")


def _print(rows: list[Row], title: str) -> None:
    table = Table(title=title)
    columns = {key: title for key, title in EVALUATED.items() if any(key in row for row in rows)}
    for column in ("team", "robots", *columns.values(), "return", "retention", "MACs"):
        table.add_column(column, justify="left" if column in ("team", "robots") else "right")
    last = {row["team"]: row for row in rows}
    for row in rows:
        table.add_row(
            row["team"], row["robot_type"], *(_cell(row.get(key)) for key in columns),
            _cell(row["return"]), _cell(row["retention"], interval=True),
            f"{row['macs']:,}" if row["macs"] else "-", end_section=row is last[row["team"]],
        )  # fmt: skip
    # Without a terminal rich assumes 80 columns, which breaks the intervals.
    console = Console()
    (console if console.is_terminal else Console(width=120)).print(table)


def _cell(estimate: dict[str, float] | None, interval: bool = False) -> str:
    if estimate is None:
        return "-"
    text = f"{estimate['mean']:.3f}"
    return f"{text} [{estimate['low']:.3f}, {estimate['high']:.3f}]" if interval else text
