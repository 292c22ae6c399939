"""The picture of a benchmark: every method's retention on every task, with its interval."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")

from matplotlib import pyplot as plt

from kdmarl_core.benchmark.ledger import Ledger

LEAST_SPAN = 0.05
"""Smallest range of retention on an axis."""
GREY = "#6b6b6b"


def draw(recorded: Ledger, path: Path) -> None:
    """Write a PNG with one panel per task."""
    panels = [(task, _of_task(recorded, task)) for task in dict.fromkeys(row["task"] for row in recorded.rows)]
    methods, bars = recorded.methods, sorted({bar.retention for bar in recorded.bars.values()})
    colours = {method: f"C{index % 10}" for index, method in enumerate(methods)}
    columns = min(len(panels), 3)
    lines = -(-len(panels) // columns)
    figure, axes = plt.subplots(
        lines, columns, figsize=(4.2 * columns, 0.8 + (0.5 + 0.27 * len(methods)) * lines), sharey=True, squeeze=False
    )
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    for axis, (title, found) in zip(axes.flat, panels, strict=False):
        for place, method in enumerate(methods):
            if method in found:
                each = found[method]
                axis.plot([each["low"], each["high"]], [place, place], color=colours[method], lw=6, alpha=0.35)
                axis.plot(each["iqm"], place, "o", color=colours[method], ms=6)
        middle, half = sum(axis.get_xlim()) / 2, max(np.ptp(axis.get_xlim()), LEAST_SPAN) / 2
        axis.set_xlim(middle - half, middle + half)
        for bar in bars:
            axis.axvline(bar, color=GREY, lw=0.8, ls=":")
        axis.set_title(title, fontsize=10)
        axis.set_yticks(range(len(methods)), methods, fontsize=8)
        axis.set_ylim(len(methods) - 0.5, -0.5)
        axis.tick_params(axis="x", labelsize=8)
        axis.grid(axis="x", alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    dotted = f" (dotted: {', '.join(f'{bar:.2f}' for bar in bars)})" if bars else ""
    figure.suptitle(f"{recorded.title}: retention{dotted}", fontsize=11)
    figure.tight_layout()
    figure.savefig(path, dpi=130, format="png")
    plt.close(figure)


def _of_task(recorded: Ledger, task: str) -> dict[str, dict[str, float]]:
    return {row["method"]: row["retention"] for row in recorded.team_rows if row["task"] == task}
