"""The ``kdmarl-swarm`` command: runs a swarm without a ROS distribution."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kdmarl_core.errors import KdmarlError, run_command
from kdmarl_ros.swarm.options import Processes, Simulator

if TYPE_CHECKING:
    from kdmarl_core.contract import Swarm

app = typer.Typer(add_completion=False)
bench_app = typer.Typer(add_completion=False)
check_app = typer.Typer(add_completion=False)
security_app = typer.Typer(add_completion=False)
replay_app = typer.Typer(add_completion=False)


@app.command()
def swarm(
    file: Annotated[Path, typer.Argument(metavar="SWARM.yaml", help="Swarm file.", show_default=False)],
    sim: Annotated[
        Simulator, typer.Option(help="Simulator; external: another one that publishes /clock; none: real robots.")
    ] = Simulator.MUJOCO,
    processes: Annotated[
        Processes, typer.Option(help="One process for each robot, or one for all robots of this host.")
    ] = Processes.ROBOT,
    robots: Annotated[str, typer.Option(help="Names of the robots to run, separated by commas; all if empty.")] = "",
    real_time_factor: Annotated[float, typer.Option(help="Simulated over real time; 0 is as fast as possible.")] = 1.0,
    duration: Annotated[
        float, typer.Option(help="Judge the run for this many seconds of ROS time, then end; 0 runs until Ctrl-C.")
    ] = 0.0,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Directory for summary.json and tracks.png of a judged run. With a duration: runs/<name of the swarm>."
        ),
    ] = None,
    record: Annotated[Path | None, typer.Option(help="File to record the robots' topics into (.mcap).")] = None,
    lockstep: Annotated[
        bool, typer.Option("--lockstep", help="Simulated time waits for the robots' commands.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of the simulated sensors' noise.")] = 0,
    allow_outside: Annotated[
        bool,
        typer.Option("--allow-outside", help="Allow the swarm file to refer to files outside its project's folder."),
    ] = False,
) -> int:
    """Run a swarm: a simulator, a node for each robot, and a judge when a duration or an output is given.

    Ctrl-C stops the robots and ends everything. ROS_DOMAIN_ID is respected.

    Other commands (kdmarl-swarm COMMAND --help): check looks at a real robot before it drives, replay drives a policy
    over a recording, security writes what each node may use, bench measures what nodes cost.

    Exit code: 0 the judged run met the swarm file's bars, 1 it missed them, 2 bad input, 130 Ctrl-C.
    """
    from kdmarl_ros.swarm.arguments import names_of
    from kdmarl_ros.swarm.plan import load_checked_swarm, make_plan  # for speed: --help needs none of these
    from kdmarl_ros.swarm.supervisor import Supervisor
    from kdmarl_ros.swarm.terminal import show_lines

    if sim is Simulator.GAZEBO:
        raise KdmarlError(
            "--sim gazebo needs ROS's launch: ros2 launch kdmarl_ros swarm.launch.py sim:=gazebo; for a Gazebo that "
            "runs already, give --sim external"
        )
    swarm = load_checked_swarm(file, names_of(robots), allow_outside)
    _check_names(swarm)
    plan = make_plan(
        swarm,
        simulator=sim,
        processes=processes,
        real_time_factor=real_time_factor,
        lockstep=lockstep,
        seed=seed,
        duration=duration,
        output=output,
        record=record,
    )
    if not duration:
        typer.echo("runs until Ctrl-C; with --duration 60 it is judged and ends after 60 seconds")
    return Supervisor(plan, show=show_lines([process.name for process in plan])).run()


def _check_names(swarm: Swarm) -> None:
    """Topics that the swarm file renames are those of nodes."""
    if swarm.remapped:
        from kdmarl_ros.robot.inputs import check_remappings  # imports rclpy, which running a swarm needs only here

        check_remappings(swarm)


@bench_app.command()
def bench(
    file: Annotated[Path, typer.Argument(metavar="SWARM.yaml", help="Swarm file.", show_default=False)],
    robots: Annotated[str, typer.Option(help="Numbers of robots, separated by commas.")] = "1,4,16",
    rounds: Annotated[int, typer.Option(min=1, help="Measurements of each case, interleaved.")] = 3,
    seconds: Annotated[float, typer.Option(min=1.0, help="Length of one measurement.")] = 20.0,
    swaps: Annotated[int, typer.Option(min=0, help="Number of policy swaps while the robot drives.")] = 1000,
    simulate: Annotated[
        str,
        typer.Option(
            help="Also drive this long in the simulator [s]: one number, or one for each of --robots; 0 to skip it."
        ),
    ] = "60",
    output: Annotated[
        Path | None, typer.Option(help="File for the results (.json); runtime.md in its folder gets a section.")
    ] = None,
) -> int:
    """Measure what policy nodes cost: the first robot of the swarm file with a lidar and a goal, and copies of it.

    Latency, CPU time, memory and start-up of both process models, compared with a bare rclpy node with the same
    messages; and in the simulator, the real-time factor and missed deadlines.
    """
    from rich.console import Console

    from kdmarl_ros.bench import report as bench_report  # running a swarm needs no rclpy in this process
    from kdmarl_ros.bench.nodes import measure, write

    sizes = [int(part) for part in robots.split(",") if part.strip().isdigit() and 0 < int(part) < 100]
    if len(sizes) != len(robots.split(",")):
        raise KdmarlError(f"--robots is '{robots}'; give numbers from 1 to 99 separated by commas, such as 1,4,16")
    console = Console(highlight=False)
    results = measure(file, sizes, rounds, seconds, swaps, _durations(simulate, len(sizes)), console.print)
    if output:
        write(results, output)
        bench_report.renew(output.with_name("runtime.md"), results)
    console.print("\n".join(bench_report.section(results)), markup=False, soft_wrap=True)
    return 0


@check_app.command()
def check(
    file: Annotated[Path, typer.Argument(metavar="SWARM.yaml", help="Swarm file.", show_default=False)],
    robot: Annotated[str, typer.Argument(metavar="ROBOT", help="Name of the robot.", show_default=False)],
    seconds: Annotated[float, typer.Option(min=1.0, help="How long to listen to its topics.")] = 5.0,
    picture: Annotated[
        Path | None, typer.Option(help="File for a picture of the scan around the robot (.png).")
    ] = None,
    wheels_up: Annotated[
        bool,
        typer.Option("--wheels-up", help="Turn the wheels for a second, to see whether they stop when commands cease."),
    ] = False,
    sim: Annotated[
        Simulator, typer.Option(help="none: a real robot; external: one in a simulator that publishes /clock.")
    ] = Simulator.NONE,
    allow_outside: Annotated[
        bool,
        typer.Option("--allow-outside", help="Allow the swarm file to refer to files outside its project's folder."),
    ] = False,
) -> int:
    """Look at a running robot before its policy drives it: topics, types, rates, stamps, pose, and who hears commands.

    Exit code: 0 all is well, 1 something is not, 2 bad input.
    """
    from kdmarl_ros.check.run import check as look  # running a swarm needs no rclpy in this process

    return look(file, robot, seconds, picture, wheels_up, sim.has_clock, allow_outside)


@replay_app.command()
def replay(
    bag: Annotated[
        Path, typer.Argument(metavar="BAG", help="Recording: an MCAP file or a folder of rosbag2.", show_default=False)
    ],
    file: Annotated[Path, typer.Argument(metavar="SWARM.yaml", help="Swarm file.", show_default=False)],
    robot: Annotated[str, typer.Argument(metavar="ROBOT", help="Name of the robot.", show_default=False)],
    policy: Annotated[
        Path | None, typer.Option(help="Policy file; that of the robot's type in the swarm file if not given.")
    ] = None,
    scan_guard: Annotated[bool, typer.Option("--scan-guard", help="Pass commands through the scan guard.")] = False,
    output: Annotated[Path | None, typer.Option(help="File for a table of all control cycles (.csv).")] = None,
    allow_outside: Annotated[
        bool,
        typer.Option("--allow-outside", help="Allow the swarm file to refer to files outside its project's folder."),
    ] = False,
) -> int:
    """Drive a policy over a recording: when would it stand and why, and where do its commands differ?

    Reads MCAP files with ROS 2 messages, from --record, rosbag2 or elsewhere.
    """
    from kdmarl_ros.record.run import drive_over  # running a swarm needs no rclpy in this process

    return drive_over(bag, file, robot, policy, scan_guard, output, allow_outside)


@security_app.command()
def security(
    file: Annotated[Path, typer.Argument(metavar="SWARM.yaml", help="Swarm file.", show_default=False)],
    output: Annotated[Path, typer.Option(help="File for the policy (.xml).")] = Path("policy.xml"),
    sim: Annotated[Simulator, typer.Option(help="none: real robots; external: also permit /clock.")] = Simulator.NONE,
    allow_outside: Annotated[
        bool,
        typer.Option("--allow-outside", help="Allow the swarm file to refer to files outside its project's folder."),
    ] = False,
) -> int:
    """Write an SROS2 policy: an enclave for each robot, which permits what its node uses and nothing else."""
    from kdmarl_core.contract.writing import replacing
    from kdmarl_ros.robot.security import security_policy
    from kdmarl_ros.swarm.plan import load_checked_swarm

    text = security_policy(load_checked_swarm(file, [], allow_outside), sim)
    with replacing(output) as scratch:
        scratch.write_text(text, encoding="utf-8")
    typer.echo(f"written: {output}")
    return 0


def _durations(text: str, count: int) -> list[float]:
    """``count`` durations [s] from one number, or from ``count`` numbers separated by commas.

    Raises:
        KdmarlError: it is neither.
    """
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) not in (1, count) or not all(0 <= value < math.inf for value in values):
        raise KdmarlError(f"--simulate is '{text}'; give seconds, one number for all or {count} separated by commas")
    return values * (count if len(values) == 1 else 1)


def main(args: list[str] | None = None) -> int:
    """Run the command; user errors are one sentence on stderr and exit code 2."""
    arguments = sys.argv[1:] if args is None else args
    others = {"bench": bench_app, "check": check_app, "replay": replay_app, "security": security_app}
    name = arguments[0] if arguments else ""
    if name in others:
        return run_command(lambda: others[name](arguments[1:], standalone_mode=False), f"kdmarl-swarm {name}")
    return run_command(lambda: app(arguments, standalone_mode=False), "kdmarl-swarm")


if __name__ == "__main__":
    sys.exit(main())
