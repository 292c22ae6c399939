"""What ``kdmarl report`` does: a benchmark's page, picture and README table, from its file of results alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from kdmarl_core.benchmark import ledger
from kdmarl_core.benchmark.ledger import Bar, Ledger
from kdmarl_core.benchmark.retention_figure import draw
from kdmarl_core.contract import KdmarlError
from kdmarl_core.contract.errors import did_you_mean
from kdmarl_core.contract.figures import COMPARED as FIGURES
from kdmarl_core.contract.pages import marks, sources, with_section
from kdmarl_core.contract.writing import replacing

MATCHES = 0.95
"""Retention from which on a network trained without an expert is named."""


def report(results: Path, readme: Path | None) -> None:
    """Write ``<results>.md`` and ``<results>.png``, and tables in ``readme`` between their marks.

    Marks name the file alone, where the first method's table belongs, or ``<results>.json: methods`` and
    ``<results>.json: against``.

    Raises:
        KdmarlError: the file has no results, or the README no marks, or such of another table.
    """
    if not results.exists():
        raise KdmarlError(f"{results}: no such file; kdmarl benchmark makes it")
    book = ledger.load(results)
    if not book.rows:
        raise KdmarlError(f"{results}: holds no results yet; run kdmarl benchmark until it is through")
    page, picture = results.with_suffix(".md"), results.with_suffix(".png")
    try:
        text = "\n".join(_page(book, results)) + "\n"
        with replacing(picture) as scratch:
            draw(book, scratch)
    except KeyError as error:
        raise KdmarlError(f"{results}: a row lacks {error}; kdmarl benchmark makes its rows anew") from None
    with replacing(page) as scratch:
        scratch.write_text(text, encoding="utf-8")
    written = [page, picture]
    if readme:
        name = results.name
        tables = {name: _headline(book), f"{name}: methods": _methods(book), f"{name}: against": _compared(book)}
        _renew(readme, name, tables)
        written.append(readme)
    Console().print(f"written: {', '.join(map(str, written))}")


def _page(book: Ledger, results: Path) -> list[str]:
    methods = book.methods
    measured = sum(len(row["seeds"]) for row in book.team_rows)
    return [
        f"# {book.title}",
        "",
        *([book.about.strip(), ""] if book.about else []),
        f"Made by `{book.rows[0]['command'].partition(' --only')[0]}` and `kdmarl report {results}`; raw numbers in "
        f"`{results.name}`. "
        f"{measured} of {book.planned} units are measured. "
        f"Retention is (student − random) / (expert − random) of mean returns; {_scores(book)}. Returns and all other "
        "figures are plain means. Brackets are about training alone: all seeds are measured on the same episodes (of "
        "SMAX, the first battle of each environment only), and these leave an uncertainty of their own: in 256 battles "
        "a win rate of 0.7 has a standard error of 0.03, one of 0.95 half of that.",
        "",
        f"![Retention of every method on every task]({results.with_suffix('.png').name})",
        "",
        f"## Headline: `{methods[0]}`",
        "",
        *_headline(book),
        "",
        *_bars(book),
        "## Methods",
        "",
        *(f"- `{name}`: {about}" for name, about in book.notes["methods"].items() if about and name in methods),
        "",
        "Retention of the whole team, in brackets of how many seeds where there are several:",
        "",
        *_methods(book),
        "",
        *_from_still(book, methods),
        *_against(book),
        *_from_scratch(book),
        "## Every type of student",
        "",
        *_students(book),
        "",
        "## Tasks",
        "",
        *(
            f"- `{name}`: {about}"
            for name, about in book.notes["tasks"].items()
            if about and any(row["task"] == name for row in book.rows)
        ),
    ]


def _scores(book: Ledger) -> str:
    """How scores of several seeds are told, with and without enough of them."""
    seeds = {seed for row in book.rows for seed in row["seeds"]}
    if len(seeds) == 1:
        return "means, since there is one seed, which has no interval: how much another seed would differ is not known"
    return (
        "interquartile mean over seeds, which is the mean where there are fewer than four and leaves out the best and "
        "the worst of five, with a 95 % bootstrap interval over seeds in brackets. Of two or three seeds the brackets "
        "are the lowest and the highest; those of five hold the true value in about 88 % of cases only (simulated, if "
        "seeds are normally distributed). One seed has none, and how much another would differ is not known"
    )


def _headline(book: Ledger) -> list[str]:
    """The first method's table: one line a task."""
    rows = [row for row in book.team_rows if row["method"] == book.methods[0]]
    shown = {key: title for key, title in FIGURES.items() if any(key in row for row in rows)}
    still = any("still_return" in row for row in rows)
    head = [
        "task",
        "seeds",
        "expert's return",
        "students' return",
        "random",
        "retention",
        *(["from standing still"] if still else []),
        "worst robot",
        "fewer MACs",
        *shown.values(),
    ]
    lines = []
    for row in rows:
        figures = [_pair(row, key) for key in shown]
        lines.append(
            [
                row["task"], str(len(row["seeds"])), f"{row['expert_return']:.2f}", f"{row['return']:.2f}",
                f"{row['random_return']:.2f}", told(row["retention"]),
                *([told(row["retention_from_still"]) if "still_return" in row else ""] if still else []),
                "" if row["worst_robot"] == row["retention"] else told(row["worst_robot"]),
                f"{row['macs_ratio']:.1f}x", *figures,
            ]
        )  # fmt: skip
    about = "The worst robot is the one that keeps least of the expert's return; where all share one, there is none."
    if still:
        about += " From standing still is the retention whose zero are robots that do not move, instead of random ones."
    if shown:
        about += " Figures are the expert's → the students'."
    if "win_rate" in shown:
        about += " Won are battles (SMAX), or episodes in which the prey is touched at all (simple_tag)."
    if "collisions" in shown:
        about += (
            " Collisions are means over agents and episodes, of the steps in which an agent overlaps another (MPE), or "
            "of the contacts that begin (robots): the two cannot be compared."
        )
    return [*_table(head, lines), "", about]


def _bars(book: Ledger) -> list[str]:
    """The section on what methods are held to; nothing where there are no bars."""
    lines = []
    for method, bar in book.bars.items():
        tasks: dict[str, list[str]] = {"held": [], "in doubt": [], "few seeds": [], "missed": []}
        for row in book.team_rows:
            if row["method"] == method:
                found = f"{row['task']} ({told(row['retention'])} at {row['macs_ratio']:.1f}x)"
                tasks[_verdict(row, bar)].append(found)
        if any(tasks.values()):
            asked = f"{bar.retention:.2f} at {bar.macs_ratio:g}x"
            lines.append([f"`{method}`", asked, *(", ".join(names) or "none" for names in tasks.values())])
    if not lines:
        return []
    head = [
        "method", "retention at fewer MACs", "held on", "held, though not by the whole interval, on",
        "held with one to three seeds on", "missed on",
    ]  # fmt: skip
    return ["## Bars", "", *_table(head, lines), ""]


def _verdict(row: dict[str, Any], bar: Bar) -> str:
    if row["retention"]["iqm"] < bar.retention or row["macs_ratio"] < bar.macs_ratio:
        return "missed"
    if len(row["seeds"]) < 4:
        return "few seeds"
    return "held" if row["retention"]["low"] >= bar.retention else "in doubt"


def _pair(row: dict[str, Any], key: str) -> str:
    return f"{_figure(row[f'expert_{key}'])} → {_figure(row[key])}" if key in row else ""


def _figure(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"


def _methods(book: Ledger) -> list[str]:
    """Retention of the team, tasks and methods: down go those of which there are more."""
    tasks, methods = list(dict.fromkeys(row["task"] for row in book.rows)), book.methods
    cells = {
        (row["task"], row["method"]): told(row["retention"]) + (f" ({n})" if (n := len(row["seeds"])) > 1 else "")
        for row in book.team_rows
    }
    if len(methods) > len(tasks):
        lines = [[f"`{method}`", *(cells.get((task, method), "") for task in tasks)] for method in methods]
        return _table(["method", *tasks], lines)
    lines = [[task, *(cells.get((task, method), "") for method in methods)] for task in tasks]
    return _table(["task", *(f"`{method}`" for method in methods)], lines)


def _from_still(book: Ledger, methods: list[str]) -> list[str]:
    """The section whose zero is a team that does not move; nothing where there are no robots."""
    rows = {(row["task"], row["method"]): row for row in book.team_rows if "still_return" in row}
    if not rows:
        return []
    lines = []
    for task in dict.fromkeys(task for task, _ in rows):
        any_row = next(row for (of, _), row in rows.items() if of == task)
        returns = [any_row[key] for key in ("random_return", "still_return", "expert_return")]
        worth = (returns[1] - returns[0]) / (returns[2] - returns[0])
        cells = [told(rows[task, name]["retention_from_still"]) if (task, name) in rows else "" for name in methods]
        lines.append([task, f"{returns[1]:.2f}", f"{worth:.2f}", *cells])
    about = (
        "Random commands drive robots into each other, so that robots which stand still have a high retention already. "
        "Here they are the zero: (student − still) / (expert − still) of the whole team."
    )
    head = ["task", "return of standing still", "its retention", *(f"`{name}`" for name in methods)]
    return ["## From standing still", "", about, "", *_table(head, lines), ""]


def _against(book: Ledger) -> list[str]:
    """The section that sets the first method against each other one; nothing where there is no other."""
    if not book.against:
        return []
    first = f"`{book.methods[0]}`"
    about = (
        f"Over the tasks that {first} and the method have both done: means over tasks of means over the seeds that "
        "both have, with 95 % stratified bootstrap interval where each task has several. Of three seeds a task such an "
        "interval holds the true value in about 75 to 87 % of cases (simulated). No better is by these means, however "
        "little they differ:"
    )
    if book.leads:
        about = (
            f"The bar is what {first} is held to be ahead by; it is held surely if the whole interval is above it. "
            + about
        )
    return [f"## {first} against each", "", about, "", *_compared(book), ""]


def _compared(book: Ledger) -> list[str]:
    """The first method beside each other one."""
    lines = []
    for row in book.against:
        interval = "" if row["low"] is None else f" [{row['low']:+.3f}, {row['high']:+.3f}]"
        not_better = [task for task in row["tasks"] if task not in row["better"]]
        lines.append(
            [
                f"`{row['method']}`", str(len(row["tasks"])), str(row["pairs"]), f"{row['first']:.3f}",
                f"{row['other']:.3f}", f"{row['difference']:+.3f}{interval}",
                *([_led(row, book.leads.get(row["method"]))] if book.leads else []), ", ".join(not_better),
            ]
        )  # fmt: skip
    first = f"`{book.methods[0]}`"
    head = [
        "method", "tasks", "pairs", f"{first} retains", "it retains", "difference",
        *(["bar"] if book.leads else []), f"{first} no better on",
    ]  # fmt: skip
    return _table(head, lines)


def _led(row: dict[str, Any], lead: float | None) -> str:
    """Whether the first method is as far ahead as it is held to be."""
    if lead is None:
        return ""
    if row["difference"] <= lead:
        return f"{lead:+.2f}: missed"
    surely = row["low"] is not None and row["low"] > lead
    return f"{lead:+.2f}: held" if surely else f"{lead:+.2f}: held, not surely"


def _from_scratch(book: Ledger) -> list[str]:
    """The section on the smallest network that needs no expert; nothing where none was trained so."""
    stages = book.notes.get("stages", {})
    own = [row for row in book.team_rows if stages.get(row["method"], "distill") != "distill"]
    if not own:
        return []
    lines = []
    for task in dict.fromkeys(row["task"] for row in own):
        tried = [row for row in own if row["task"] == task]
        good = [row for row in tried if row["retention"]["iqm"] >= MATCHES]
        best = min(good, key=lambda row: row["macs"]) if good else max(tried, key=lambda row: row["retention"]["iqm"])
        found = [f"`{best['method']}`", f"{best['macs']:,.0f}", f"{best['macs_ratio']:.1f}x", told(best["retention"])]
        lines.append([task, "" if good else "none; best:", *found, ", ".join(f"{row['macs']:,.0f}" for row in tried)])
    head = ["task", "", "method", "MACs", "fewer", "retention", "MACs tried"]
    about = f"The smallest network trained without an expert that has a retention of at least {MATCHES:g}:"
    return ["## From scratch", "", about, "", *_table(head, lines), ""]


def _students(book: Ledger) -> list[str]:
    head = ["task", "method", "student", "retention", "MACs", "fewer", "parameters", "return", "figures", "minutes"]
    lines = [
        [
            row["task"], f"`{row['method']}`", row["student"], told(row["retention"]), f"{row['macs']:,.0f}",
            f"{row['macs_ratio']:.1f}x", f"{row['params']:,.0f}", f"{row['return']:.2f}",
            ", ".join(f"{title} {_figure(row[key])}" for key, title in FIGURES.items() if key in row),
            f"{row['minutes']['policies']:.1f}",
        ]
        for row in book.rows
    ]  # fmt: skip
    about = (
        "Minutes are those of the clock for the whole team, on a machine with other work: compare them only roughly."
    )
    return [*_table(head, lines), "", about]


def told(interval: dict[str, Any]) -> str:
    """Such as ``0.957 [0.941, 0.972]``; without interval where it has no width, and ``none`` without a value."""
    if interval["iqm"] is None:
        return "none"
    if interval["low"] == interval["high"]:
        return f"{interval['iqm']:.3f}"
    return f"{interval['iqm']:.3f} [{interval['low']:.3f}, {interval['high']:.3f}]"


def _table(head: list[str], lines: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *lines)]


def _renew(readme: Path, name: str, tables: dict[str, list[str]]) -> None:
    """Put those of ``tables`` that ``readme`` has marks for between them; all begin with the file's ``name``."""
    try:
        text = readme.read_text(encoding="utf-8")
    except OSError as error:
        raise KdmarlError(f"{readme}: cannot be read ({error.strerror}); check the path") from None
    marked = sources(text, name)
    if not marked:
        begin, end = marks(name)
        raise KdmarlError(f"{readme}: has no lines '{begin}' and '{end}'; add them where the table belongs")
    for source in marked:
        begin, end = marks(source)
        if source not in tables:
            raise KdmarlError(f"{readme}: '{begin}' names no table; {did_you_mean(source, tables)}")
        renewed = with_section(text, source, tables[source])
        if renewed is None:
            raise KdmarlError(f"{readme}: has '{begin}' without '{end}'; add it after the table")
        text = renewed
    with replacing(readme) as scratch:
        scratch.write_text(text, encoding="utf-8")
