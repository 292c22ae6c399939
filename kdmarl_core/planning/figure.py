"""The picture of ``kdmarl plan --search``: return against cost of each candidate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

STUDENT, CHOSEN, EXPERT, RANDOM = "#0072b2", "#d55e00", "#009e73", "#7f7f7f"
"""Colour-blind-safe colours (Okabe and Ito, 2008)."""


def save_front(report: dict[str, Any], path: Path) -> None:
    """Write the picture of a report (``plan.json``) as PNG, one panel for each robot type."""
    names = list(report["chosen"])
    figure = Figure(figsize=(1.2 + 4.6 * len(names), 4.4), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        _draw(axes, report, name)
    figure.savefig(path, format="png", dpi=130)


def _draw(axes: Axes, report: dict[str, Any], name: str) -> None:
    rows = [row for row in report["candidates"] if row["robot_type"] == name]
    rungs = max((row["rung"] for row in rows), default=1)
    for row in rows:
        mean = row["return"]
        last = row["rung"] == rungs
        chosen = last and row["hidden"] == report["chosen"][name]
        axes.errorbar(
            row["macs"], mean["mean"], [[mean["mean"] - mean["low"]], [mean["high"] - mean["mean"]]], fmt="o",
            ms=2 + 2 * row["rung"], color=CHOSEN if chosen else STUDENT, alpha=0.3 + 0.7 * row["rung"] / rungs,
            mew=0, elinewidth=1, zorder=3 + row["rung"],
        )  # fmt: skip
    _draw_references(axes, report, name)
    for rung, description in enumerate(report["rungs"], 1):
        axes.plot([], [], "o", ms=2 + 2 * rung, color=STUDENT, alpha=0.3 + 0.7 * rung / rungs, mew=0,
                  label=f"after {description['rounds']} round{'s' * (description['rounds'] > 1)}")  # fmt: skip
        if rung == 1:
            _draw_front(axes, rows)
    axes.plot([], [], "o", ms=2 + 2 * rungs, color=CHOSEN, mew=0, label=f"chosen: {report['chosen'][name]}")
    axes.set(xscale="log", xlabel="MACs of one inference", title=name)
    axes.set_ylabel(f"return, mean of {report['episodes']} episodes")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{value / 1000:g}k" if value >= 1000 else f"{value:g}")
    )
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8, framealpha=0.9, loc="best")


def _draw_front(axes: Axes, rows: list[dict[str, Any]]) -> None:
    """The Pareto front of the first rung, in which all candidates had the same rounds."""
    best: list[dict[str, Any]] = []
    first = [row for row in rows if row["rung"] == 1]
    for row in sorted(first, key=lambda row: (row["macs"], -row["return"]["mean"])):
        if not best or row["return"]["mean"] > best[-1]["return"]["mean"]:
            best.append(row)
    points = [(row["macs"], row["return"]["mean"]) for row in best]
    axes.plot(*zip(*points, strict=True) if points else ([], []), color=STUDENT, lw=1, zorder=2, label="front of these")
    named = 0.0
    for row in best:
        if row["macs"] < 1.2 * named:
            continue  # its label would overlap the previous one
        named = row["macs"]
        axes.annotate(
            "-".join(map(str, row["hidden"])), (row["macs"], row["return"]["low"]), (0, -4), textcoords="offset points",
            ha="center", va="top", fontsize=8, color=STUDENT,
        )  # fmt: skip


def _draw_references(axes: Axes, report: dict[str, Any], name: str) -> None:
    returns = report["returns"]
    macs = report["expert_macs"][name]
    axes.axhline(returns["expert"][name], color=EXPERT, lw=1, ls="--", label="expert" if macs is None else None)
    if macs is not None:
        axes.plot(macs, returns["expert"][name], "*", ms=13, color=EXPERT, mew=0, label="expert")
    axes.axhline(returns["random"][name], color=RANDOM, lw=1, ls=":", label="random commands")
    if limit := report["budgets"][name].get("macs"):
        axes.axvline(limit, color="black", lw=1, ls=(0, (1, 3)), label="budget")
