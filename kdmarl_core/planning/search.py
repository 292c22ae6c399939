"""``kdmarl plan --search``: successive halving among the candidates on short distillations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from rich.console import Console

from kdmarl_core.contract import KdmarlError
from kdmarl_core.contract.writing import replacing
from kdmarl_core.distill import distill as stage_2
from kdmarl_core.distill.capacity import Candidate
from kdmarl_core.distill.distill import DistillConfig
from kdmarl_core.distill.halving import Rung, better_half, schedule
from kdmarl_core.envs.base import BatchedEnv
from kdmarl_core.evaluate import episodes, statistics
from kdmarl_core.experiment import experts
from kdmarl_core.experiment.experiment import Experiment
from kdmarl_core.experiment.provenance import command_line
from kdmarl_core.expert.policies import DecentralizedPolicy, greedy
from kdmarl_core.planning.figure import save_front
from kdmarl_core.planning.planned import Planned

ENVS = 100
"""Maximum number of environments for evaluating candidates."""


class Search:
    """Finds each type's best candidate.

    Types are distilled together, the k-th candidates of all types as one team: each learns from the loss of its own
    type alone, though in states that all have driven to, so one distillation serves them all. They are evaluated one
    type at a time, with the expert driving the others, so that a type's return does not depend on which candidates
    happen to be its teammates.

    Args:
        experiment: of the expert.
        output: run folder, or None for the default.
        planned: the candidates of every type of the team.
        count: episodes for evaluating each candidate.
    """

    def __init__(self, experiment: Experiment, output: Path | None, planned: list[Planned], count: int) -> None:
        self.experiment, self.run_folder = experiment, experiment.run_folder(output)
        self.planned = {each.student.robot_type: each for each in planned}
        self.count = count
        # Not the evaluation seed: nothing may be selected on the held-out episodes.
        self.seed = experiment.seed + (2 if experiment.seed + 1 == experiment.evaluate.seed else 1)
        self.env = experiment.env(min(count, ENVS))
        self.expert, self.critics = experts.load_expert(experiment, self.env, self.run_folder / "expert")
        self.rungs = schedule(max(len(each.candidates) for each in planned), experiment.distill.rounds)
        self._references: dict[str, np.ndarray] = {}
        self._results: list[dict[str, Any]] = []

    def run(self) -> dict[str, Candidate]:
        """Search; writes ``plan.json`` and ``plan.png`` into the run folder and returns the best of each type.

        Raises:
            KdmarlError: a distillation fails, or a file cannot be written.
        """
        console = Console()
        console.print(self._announcement(), highlight=False, soft_wrap=True)
        self._references = {"expert": self._play(None), "random": self._random()}
        left = {name: list(each.candidates) for name, each in self.planned.items()}
        for number, rung in enumerate(self.rungs):
            returns: dict[str, list[float]] = {name: [] for name in left}
            for place in range(max(map(len, left.values()))):
                team = {name: of_type[min(place, len(of_type) - 1)] for name, of_type in left.items()}
                students = self._distilled(number, rung, place, team)
                for name in (name for name, of_type in left.items() if place < len(of_type)):
                    row = self._measure(students, name, team[name], number, rung)
                    returns[name].append(row["return"]["mean"])
                    console.print(_line(row, len(self.rungs)), highlight=False, markup=False, soft_wrap=True)
            left = {name: [of_type[i] for i in better_half(returns[name])] for name, of_type in left.items()}
        chosen = {name: of_type[0] for name, of_type in left.items()}
        self._write(chosen)
        return chosen

    def _announcement(self) -> str:
        configs = [(rung, self._shortened(rung, {})) for rung in self.rungs]
        steps = sum(rung.entrants * config.env_steps for rung, config in configs)
        updates = sum(
            rung.entrants * (config.rounds * config.updates + config.final_updates) for rung, config in configs
        )
        full = self.experiment.distill
        share = sum(rung.entrants * rung.rounds for rung in self.rungs) / full.rounds
        teams = ", then ".join(
            f"{rung.entrants} teams for {rung.rounds} round{'s' * (rung.rounds > 1)}" for rung in self.rungs
        )
        return (
            f"search: {teams or 'one candidate, nothing to compare'}; {steps:,} environment steps and {updates:,} "
            f"gradient steps, about {share:.1f} times a whole distillation; each candidate plays {self.count} "
            f"episodes of seed {self.seed}; finished distillations are kept in {self._folder}"
        )

    @property
    def _folder(self) -> Path:
        return self.run_folder / "plan"

    def _shortened(self, rung: Rung, team: dict[str, Candidate]) -> DistillConfig:
        """The experiment's distillation for a rung's share of the rounds."""
        full = self.experiment.distill
        share = rung.rounds / full.rounds
        return msgspec.structs.replace(
            full,
            students={name: candidate.network for name, candidate in team.items()},
            rounds=rung.rounds,
            final_updates=max(1, round(share * full.final_updates)),
            polish=msgspec.structs.replace(full.polish, rounds=round(share * full.polish.rounds)),
        )

    def _distilled(self, number: int, rung: Rung, place: int, team: dict[str, Candidate]) -> DecentralizedPolicy:
        """A team's students, reused from an earlier search if they are the same."""
        config, folder = self._shortened(rung, team), self._folder / f"rung_{number + 1}" / f"team_{place + 1}"
        origin = self.experiment.students_origin
        try:
            return stage_2.load_students(config, self.env, folder, origin)
        except KdmarlError:  # missing, or different ones
            students = stage_2.distill(
                config,
                self.expert,
                self.critics,
                self.experiment.env,
                folder,
                self.experiment.seed,
                origin,
                self.experiment.expert.ppo,
            )
            return students.eval()

    def _measure(
        self, students: DecentralizedPolicy, name: str, candidate: Candidate, number: int, rung: Rung
    ) -> dict[str, Any]:
        """Evaluate a candidate's return and retention, and add them to the report."""
        returns = self._play(students, name)
        agents = next(group.agents for group in self.env.groups if group.name == name)
        own, expert, random = (r[:, agents] for r in (returns, self._references["expert"], self._references["random"]))
        row = {
            "robot_type": name,
            "rung": number + 1,
            "rounds": rung.rounds,
            "shape": candidate.shape,
            "hidden": list(candidate.network.hidden),
            **candidate.cost._asdict(),
            "return": msgspec.to_builtins(statistics.mean(own)),
            "retention": msgspec.to_builtins(statistics.retention(own, expert, random)),
        }
        self._results.append(row)
        return row

    def _play(self, students: DecentralizedPolicy | None, name: str = "") -> np.ndarray:
        """Returns (episodes, N) with type ``name`` driven by its student and all others by the expert."""

        def act(env: BatchedEnv) -> dict[str, np.ndarray]:
            commands = greedy(self.expert)(env)
            return commands if students is None else {**commands, name: greedy(students)(env)[name]}

        return episodes.run(self.env, act, self.count, self.seed)["return"]

    def _random(self) -> np.ndarray:
        """Returns (episodes, N) of random commands."""
        return episodes.run(self.env, episodes.random_commands(self.seed), self.count, self.seed)["return"]

    def _write(self, chosen: dict[str, Candidate]) -> None:
        references = {
            team: {group.name: float(returns[:, group.agents].mean()) for group in self.env.groups}
            for team, returns in self._references.items()
        }
        report = {
            "command": command_line(),
            "episodes": self.count,
            "seed": self.seed,
            "rungs": [rung._asdict() for rung in self.rungs],
            "budgets": {name: msgspec.to_builtins(each.budget) for name, each in self.planned.items()},
            "returns": references,
            "expert_macs": {name: self.expert.macs(name) for name in self.planned},
            "candidates": self._results,
            "chosen": {name: list(candidate.network.hidden) for name, candidate in chosen.items()},
        }
        with replacing(self.run_folder / "plan.json") as scratch:
            scratch.write_text(json.dumps(report, indent=1))
        with replacing(self.run_folder / "plan.png") as scratch:
            save_front(report, scratch)
        Console().print(f"written to {self.run_folder / 'plan.json'} and plan.png", highlight=False, soft_wrap=True)


def _line(row: dict[str, Any], rungs: int) -> str:
    mean, kept = row["return"], f"{row['retention']['mean']:.3f}" if row["retention"] else "none"
    return (
        f"rung {row['rung']}/{rungs}  {row['robot_type']} {row['hidden']}  {row['macs']:,} MACs  "
        f"return {mean['mean']:.3f} [{mean['low']:.3f}, {mean['high']:.3f}]  retention {kept}"
    )
