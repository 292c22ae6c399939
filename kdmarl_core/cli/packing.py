"""What ``kdmarl pack`` shows; needs onnx, and no torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from kdmarl_core.cli.inspection import action_words, terms_words
from kdmarl_core.contract import KdmarlError, Kinematics
from kdmarl_core.errors import printable

if TYPE_CHECKING:
    from kdmarl_core.export.pack import PackedPolicy


def pack(network: Path, description: Path, robots: Path, output: Path | None) -> None:
    """Pack ``network`` and print a summary.

    Raises:
        KdmarlError: onnx is missing, or as in :func:`kdmarl_core.export.pack.pack`.
    """
    try:
        from kdmarl_core.export import pack as module
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("kdmarl"):
            raise
        raise KdmarlError(f"'{error.name}' is not installed; this command needs: pip install onnx") from None
    made = module.pack(network, description, robots, output)
    title = f"{made.path}  ({made.path.stat().st_size} bytes)"
    rows = [*_rows(made), ("size", _size(made))]
    table = Table(title=title, show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column()
    for name, value in rows:
        table.add_row(name, Text(printable(value)))  # without interpreting markup in the file
    Console().print(table)


def _rows(made: PackedPolicy) -> list[tuple[str, str]]:
    network, wiring, manifest = made.network, made.wiring, made.manifest
    used = {wiring.output.name, *(state.output for state in wiring.states)}
    unused = [value.name for value in network.outputs if value.name not in used]
    rows = [
        ("policy", f"{manifest.name}, for robot type {manifest.robot_type}"),
        ("made from", f"{', '.join(network.files)}, written by {network.producer or 'an unknown program'}"),
        ("observation", f"{manifest.observation_size} values from {terms_words(manifest)}, to {wiring.observation}"),
        ("command", f"{action_words(manifest)}, from {wiring.output}{_conversion(made)}"),
    ]
    rows += [("recurrent state", f"{state.input}, then '{state.output}'") for state in wiring.states]
    if unused:
        rows.append(("left out", ", ".join(unused)))
    if made.opset != network.opset:
        rows.append(("opset", f"{network.opset}, converted to {made.opset}"))
    action = made.fitting.action
    unit = "of the choices differ"
    if isinstance(action, Kinematics) and not made.fitting.choices():
        unit = f"{action.units} at most"
    rows.append(("checked", f"{made.tried} observations; differs from the network by {made.difference:.1g} {unit}"))
    if made.fitting.description.clip:
        rows.append(("clipped to limits", f"{made.clipped:.0%} of the commands for random observations"))
    return rows


def _size(made: PackedPolicy) -> str:
    """Cost of one run, and the robot type's limits that it exceeds."""
    from kdmarl_core.export.onnx_model import macs, parameters, weight_bytes

    path, budget = made.path, made.fitting.robot.budget
    parts = []
    for name, amount, most in (
        ("MACs", macs(path), budget.macs),
        ("parameters", parameters(path), budget.parameters),
        ("bytes of weights", weight_bytes(path), budget.bytes),
    ):
        over = most is not None and amount > most
        parts.append(f"{amount:,} {name}{f' (over the budget of {most:,} in the robot types)' if over else ''}")
    return ", ".join(parts)


def _conversion(made: PackedPolicy) -> str:
    """How outputs become commands, in words."""
    action = made.fitting.action
    if not isinstance(action, Kinematics):
        return ""
    listed, scaling = made.fitting.commands(), made.fitting.scaling()
    if listed is not None:
        return f", one of {len(listed)} listed commands"
    if scaling is None:
        return ""
    *others, last = (
        f"times {scale:g} plus {offset:g} {axis.unit}"
        for axis, scale, offset in zip(action.axes, *scaling, strict=True)
    )
    return f", {', '.join(others)} and {last}"
