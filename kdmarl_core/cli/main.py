"""Commands of ``kdmarl`` and their options; the implementation is imported when a command runs.

``kdmarl inspect`` must work on a robot, which has no torch.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from kdmarl_core.errors import KdmarlError, run_command

app = typer.Typer(
    help="Train a cooperative expert, distil it into small per-robot policies, and evaluate them.",
    add_completion=False,
    pretty_exceptions_enable=False,
)
bench_app = typer.Typer(help="Measure speed.")
app.add_typer(bench_app, name="bench")
new_app = typer.Typer(help="Write a commented, tested start for a part of your own.")
app.add_typer(new_app, name="new")

Config = Annotated[Path, typer.Argument(help="Experiment file, e.g. config/navigation.yaml.", show_default=False)]
Overrides = Annotated[
    list[str], typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the file, e.g. expert.ppo.gamma=0.98.")
]
Output = Annotated[Path | None, typer.Option(help="Folder of the run; default runs/<name of the file>.")]
Models = Annotated[Path, typer.Option(help="Folder of the policy files.")]
Name = Annotated[str, typer.Argument(help="Name: small letters, digits and _.", show_default=False)]
Parent = Annotated[Path, typer.Option("--folder", metavar="DIR", help="Where the folder NAME is made.")]


@app.command()
def train(
    config: Config,
    overrides: Overrides = [],  # noqa: B006 - typer copies it
    output: Output = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start from scratch instead of resuming.")] = False,
) -> None:
    """Train the expert (stage 1); an interrupted run is resumed."""
    from kdmarl_core.cli import stages

    stages.train(config, overrides, output, fresh)


@app.command()
def distill(
    config: Config,
    overrides: Overrides = [],  # noqa: B006 - typer copies it
    output: Output = None,
) -> None:
    """Distil the trained expert into one student per robot type (stage 2)."""
    from kdmarl_core.cli import stages

    stages.distill(config, overrides, output)


@app.command()
def plan(
    robots: Annotated[
        Path | None,
        typer.Argument(help="Robot types with their budgets, e.g. config/robots.yaml; default: the experiment's."),
    ] = None,
    experiment: Annotated[
        Path | None, typer.Option(help="Experiment file that says what students observe; default: navigation.yaml.")
    ] = None,
    overrides: Overrides = [],  # noqa: B006 - typer copies it
    output: Output = None,
    budget: Annotated[
        list[str],
        typer.Option(metavar="TYPE=BUDGET", help="Budget of a type, e.g. 'mini={macs: 2000, latency: 2.0e-5}'."),
    ] = [],  # noqa: B006 - typer copies it
    search: Annotated[
        bool, typer.Option("--search", help="Compare the candidates by short distillations of the trained expert.")
    ] = False,
    episodes: Annotated[int, typer.Option(min=2, help="Episodes per candidate with --search.")] = 100,
) -> None:
    """Choose the size of each robot type's student from its budget and observations."""
    from kdmarl_core.planning import plan as module

    module.plan(robots, experiment, overrides, output, budget, search, episodes)


@app.command()
def export(
    config: Config,
    overrides: Overrides = [],  # noqa: B006 - typer copies it
    output: Output = None,
    models: Models = Path("models"),
    int8: Annotated[
        bool, typer.Option("--int8", help="Quantise to int8, with ranges from states that the students visit.")
    ] = False,
) -> None:
    """Write the students as policy files and check that they act as the trained networks do."""
    from kdmarl_core.cli import stages

    stages.export(config, overrides, output, models, int8)


@app.command()
def pack(
    network: Annotated[Path, typer.Argument(help="ONNX network of another project.", show_default=False)],
    manifest: Annotated[
        Path, typer.Option(help="What the network observes and commands, e.g. config/pack.yaml.", show_default=False)
    ],
    robots: Annotated[Path, typer.Option(help="File of the robot types.")] = Path("config/robots.yaml"),
    output: Annotated[Path | None, typer.Option(help="Policy file; default models/<name>.onnx.")] = None,
) -> None:
    """Make a policy file from a network that was trained elsewhere, and check that it acts as the network does."""
    from kdmarl_core.cli import packing

    packing.pack(network, manifest, robots, output)


@app.command()
def evaluate(
    config: Config,
    overrides: Overrides = [],  # noqa: B006 - typer copies it
    output: Output = None,
    models: Models = Path("models"),
    direct: Annotated[
        Path | None, typer.Option(help="Run folder of a policy trained with expert.view=student, to compare with.")
    ] = None,
    swarm: Annotated[
        list[Path], typer.Option(help="Evaluate in this swarm file's arena instead of random ones; repeatable.")
    ] = [],  # noqa: B006 - typer copies it
    record: Annotated[bool, typer.Option("--record", help="Write the results into the policy files.")] = False,
) -> None:
    """Evaluate the policy files on held-out episodes, compared with the expert and random commands."""
    from kdmarl_core.cli import evaluation

    evaluation.show(config, overrides, output, models, direct, swarm, record)


@app.command()
def layouts(
    config: Config,
    output: Annotated[Path, typer.Option(help="Folder for the swarm files.")],
    count: Annotated[int, typer.Option(min=1, max=10_000, help="Number of swarm files.")] = 10,
    seed: Annotated[int | None, typer.Option(min=0, help="Default: the experiment's evaluation seed.")] = None,
    overrides: Overrides = [],  # noqa: B006 - typer copies it
    models: Models = Path("models"),
) -> None:
    """Write random arenas of the task as swarm files."""
    from kdmarl_core.cli import layouts as module

    module.layouts(config, overrides, models, count, seed, output)


@app.command()
def worlds(
    swarm: Annotated[Path, typer.Argument(metavar="SWARM.yaml", help="Swarm file.", show_default=False)],
    output: Annotated[Path, typer.Option(help="Folder for the files.")],
    gz_version: Annotated[
        str, typer.Option(help="fortress, harmonic, ionic or jetty; default: that of the sourced ROS distribution.")
    ] = "",
    lidars: Annotated[
        str, typer.Option(help="rendering: by the graphics engine; physics: by a release that has the system CpuLidar.")
    ] = "rendering",
    allow_outside: Annotated[
        bool, typer.Option("--allow-outside", help="As for kdmarl-swarm: allow files outside the project's folder.")
    ] = False,
) -> None:
    """Write a swarm's Gazebo world and robots (SDF), the bridge file and a preview picture; Gazebo is not started."""
    from kdmarl_core.cli import worlds as module

    module.worlds(swarm, output, gz_version, lidars, allow_outside)


@app.command()
def benchmark(
    file: Annotated[Path, typer.Argument(help="Benchmark file, e.g. config/benchmarks/main.yaml.", show_default=False)],
    only: Annotated[
        list[str], typer.Option(metavar="PATTERN", help="Units to run, such as 'spread/*/1'; repeatable.")
    ] = [],  # noqa: B006 - typer copies it
    output: Annotated[Path | None, typer.Option(help="Result file; default docs/results/<file>.json.")] = None,
    runs: Annotated[Path, typer.Option(help="Folder for experts, students and policy files.")] = Path(
        "runs/benchmarks"
    ),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would run and how long it takes.")] = False,
) -> None:
    """Train, distil and measure every task, method and seed of a file; an interrupted run is resumed."""
    from kdmarl_core.benchmark import runner as module

    module.benchmark(file, only, output, runs, dry_run)


@app.command()
def report(
    results: Annotated[Path, typer.Argument(help="Result file of kdmarl benchmark.", show_default=False)],
    readme: Annotated[Path | None, typer.Option(help="Also update the marked tables in this file.")] = None,
) -> None:
    """Write the page and picture of a benchmark next to its result file."""
    from kdmarl_core.benchmark import report as module

    module.report(results, readme)


@app.command()
def inspect(
    file: Annotated[Path, typer.Argument(help="Policy file (.onnx).", show_default=False)],
    json: Annotated[bool, typer.Option("--json", help="Print the manifest as JSON.")] = False,
) -> None:
    """Show a policy file's manifest."""
    from kdmarl_core.cli import inspection

    inspection.inspect(file, json)


@app.command()
def doctor(
    swarm: Annotated[Path | None, typer.Argument(metavar="SWARM.yaml", help="Swarm file to check.")] = None,
    models: Annotated[Path, typer.Option(help="Folder of the policy files, without a swarm file.")] = Path("models"),
    allow_outside: Annotated[
        bool, typer.Option("--allow-outside", help="As for kdmarl-swarm: allow files outside the project's folder.")
    ] = False,
    live: Annotated[
        bool, typer.Option("--live", help="Then look at each robot's running topics, as kdmarl-swarm check does.")
    ] = False,
) -> int:
    """Check software, settings and policy files before they drive robots; exit code 1 if something fails."""
    from kdmarl_core.cli import doctor as module

    return module.doctor(swarm, models, allow_outside, live)


@bench_app.command("envs")
def bench_envs(
    vmas: Annotated[
        Path | None, typer.Option(help="A Python interpreter that has VMAS, to compare with in the same run.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="Duration of stepping each number of environments.")] = 2.0,
    rounds: Annotated[int, typer.Option(min=1, help="Interleaved rounds; medians are reported.")] = 5,
    json: Annotated[Path | None, typer.Option(help="Write the figures to this file.")] = None,
) -> None:
    """Steps per second of the robots simulator for 1, 64 and 1024 environments."""
    from kdmarl_core.cli import bench

    bench.envs(vmas, seconds, rounds, json)


@new_app.command("task")
def new_task(name: Name, folder: Parent = Path(".")) -> None:
    """A robots task: its class, an experiment file that trains in minutes, robot types and tests."""
    from kdmarl_core.cli import new

    new.new("task", name, folder)


@new_app.command("robot")
def new_robot(name: Name, folder: Parent = Path(".")) -> None:
    """A robot type, key by key with how to measure it, an experiment, a swarm of two and tests."""
    from kdmarl_core.cli import new

    new.new("robot", name, folder)


@new_app.command("sensor")
def new_sensor(name: Name, folder: Parent = Path(".")) -> None:
    """A sensor: its settings and observation term, its messages, and tests; says where they go in a checkout."""
    from kdmarl_core.cli import new

    new.new("sensor", name, folder)


def main() -> None:
    """Run a command; user errors are one sentence on stderr and exit code 2."""
    sys.exit(run_command(_run, "kdmarl"))


def _run() -> object:
    try:
        return app(standalone_mode=False)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("kdmarl"):
            raise
        sentence = f"'{error.name}' is not installed; this command needs: pip install 'kdmarl_ros[train]'"
        raise KdmarlError(sentence) from None
