"""The page of ``kdmarl-swarm bench``: a section of a Markdown file, rewritten from the results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kdmarl_core.contract.pages import write_section


def renew(page: Path, results: dict[str, Any]) -> None:
    """Write the section between its marks in ``page``, or append it if there are no marks."""
    write_section(page, "bench.json", section(results), "# Run time\n")


def section(results: dict[str, Any]) -> list[str]:
    """The lines of the section."""
    imports, session = results["imports"], results["session"]
    return [
        "## Cost",
        "",
        f"`{results['command']}`: {results['policy']}, a 360-beam scan and an odometry every {results['period_s']:g} s "
        f"for each robot, spread over the period; {results['machine']}, load average at the end {results['load'][0]}.",
        "",
        "*Latency* is from the moment before the scan, the last of a robot's sensors, is published to the moment at "
        "which its command is (the middleware's time stamp), so with transport, deserialisation and executor. The bare "
        "node subscribes to the same messages and answers each scan with an empty command, on rclpy's "
        "`SingleThreadedExecutor`. Policy nodes have `trigger: sensor`, the bare node's; in rows with *timer* latency "
        "counts from the timer's moment instead. *CPU* is that of all threads for 1,000 commands. *Lost*: moments "
        "without a command before the next. *Start*: from launch to the first command of the last robot.",
        "",
        "| robots | | p50 [ms] | p99 [ms] | p99.9 [ms] | CPU [s] | RSS [MB] | PSS [MB] | lost | deadline stops "
        "| start [s] |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        *(_row(row) for row in results["rows"]),
        "",
        "Over the bare node with as many robots (the bars are 1.25 for latency, 1.5 for CPU); memory over a process "
        f"that has only imported rclpy and ONNX Runtime ({imports['rss']:.0f} MB RSS), per process (bar 1.25), and "
        f"over the bare node with the policy file open in a session ({session['rss']:.0f} MB):",
        "",
        "| robots | | p50 | p99 | CPU | RSS over imports | RSS over a session |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *_ratios(results),
        *_simulated(results["simulated"]),
        *_swaps(results["swaps"]),
    ]


def _simulated(rows: list[dict[str, Any]]) -> list[str]:
    if not rows:
        return []
    return [
        "",
        "In the simulator, in real time: each robot crosses a circle. *Drive*: so many had begun to within a minute of "
        "their launch, when the measurement began. *Factor*: simulated over real time. *Cores*: of "
        "simulator and nodes together. *Deadline stops*: for missed deadlines; *other stops*: for anything else, which "
        "nobody brought about.",
        "",
        "| robots | | drive | seconds | factor | cores | deadline stops | other stops |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        *(
            f"| {row['robots']} | {row['case']} | {row['driving']} | {row['seconds']:.0f} | "
            f"{row['real_time_factor']:.3f} | {row['cores']:.2f} | {row['missed_deadlines']} | "
            f"{row['stops'] - row['missed_deadlines']} |"
            for row in rows
        ),
    ]


def _swaps(swaps: dict[str, Any] | None) -> list[str]:
    if swaps is None:
        return []
    return [
        "",
        f"One robot of four in one process had its policy swapped {swaps['swaps']} times in {swaps['seconds']} s "
        f"({swaps['refused']} refused) while all drove on their timers: it lost {swaps['lost']} of {swaps['cycles']} "
        f"cycles, the others {swaps['others_lost']} of {swaps['others_cycles']}; stops for missed deadlines: "
        f"{swaps['missed_deadlines']}.",
    ]


def _row(row: dict[str, Any]) -> str:
    latency = row["latency_ms"]
    cells = [
        row["robots"],
        row["case"],
        *(f"{latency[key]:.2f}" for key in ("p50", "p99", "p99.9")),
        f"{row['cpu_s_per_1000']:.2f}",
        f"{row['rss_mb']:.0f}",
        f"{row['pss_mb']:.0f}",
        f"{row['lost']} of {row['cycles']}",
        row["missed_deadlines"],
        f"{row['start_s']:.1f}",
    ]
    return "| " + " | ".join(map(str, cells)) + " |"


def _ratios(results: dict[str, Any]) -> list[str]:
    bare = {row["robots"]: row for row in results["rows"] if row["case"] == "bare node"}
    lines = []
    for row in results["rows"]:
        base = bare[row["robots"]]
        if row is base or "timer" in row["case"]:
            continue
        processes = 1 if "one process" in row["case"] else row["robots"]
        ratios = [
            *(row["latency_ms"][key] / base["latency_ms"][key] for key in ("p50", "p99")),
            row["cpu_s_per_1000"] / base["cpu_s_per_1000"],
            *(row["rss_mb"] / processes / results[than]["rss"] for than in ("imports", "session")),
        ]
        cells = [str(row["robots"]), row["case"], *(f"{ratio:.2f}" for ratio in ratios)]
        lines.append("| " + " | ".join(cells) + " |")
    return lines
