"""``kdmarl plan``: the table and its errors, and a whole search in small."""

import json
import re

import pytest
import yaml

from kdmarl_core.cli.main import app
from kdmarl_core.contract import KdmarlError
from kdmarl_core.distill import distill as stage_2
from kdmarl_core.experiment.experiment import Experiment
from support import REPOSITORY

ROBOTS = REPOSITORY / "config/robots.yaml"
NAVIGATION = REPOSITORY / "config/navigation.yaml"
SPREAD = REPOSITORY / "config/mpe_spread.yaml"
TINY = {
    "expert.envs": 4, "expert.steps": 10, "expert.iterations": 2, "expert.actor.hidden": [16],
    "expert.critic.hidden": [16], "distill.rounds": 4, "distill.envs": 4, "distill.steps": 5, "distill.updates": 5,
    "distill.final_updates": 8, "distill.polish.rounds": 2, "task.max_steps": 8,
}  # fmt: skip
OVERRIDES = [part for key, value in TINY.items() for part in ("--set", f"{key}={json.dumps(value)}")]


def kdmarl(*arguments):
    return app([str(argument) for argument in arguments], standalone_mode=False)


def pasted(printed: str) -> dict:
    """The lines for the experiment file, as read from it."""
    return yaml.safe_load(printed[printed.index("\ndistill:") :])["distill"]["students"]


def test_plans_are_explained_and_can_be_pasted(capsys):
    kdmarl("plan", ROBOTS)
    printed = capsys.readouterr().out
    assert "scout: [24, 24], two equal layers, takes 2,952 MACs of at most 3,000 MACs; one unit more in" in printed
    students = pasted(printed)
    assert set(students) == {"scout", "carrier", "mini"}
    Experiment.load(NAVIGATION, [f"distill.students={json.dumps(students)}"])


def test_budgets_are_of_the_file_that_is_given_or_of_the_command(tmp_path, capsys):
    text = ROBOTS.read_text().replace("macs: 3000", "bytes: 4000", 1)
    (tmp_path / "others.yaml").write_text(text)
    kdmarl("plan", tmp_path / "others.yaml", "--experiment", NAVIGATION, "--budget", "mini={parameters: 500}")
    printed = capsys.readouterr().out
    assert re.search(r"scout: .* takes 3,\d\d\d bytes of at most 4,000 bytes", printed)
    assert re.search(r"mini: .* takes 4\d\d parameters of at most 500 parameters", printed)


def test_latency_is_that_of_files(capsys):
    kdmarl("plan", "--experiment", SPREAD, "--budget", "agent={macs: 600, latency: 1.0}")
    printed = capsys.readouterr().out
    assert re.search(r"latency on .+", printed)
    assert re.search(r"agent: .* takes \d+ MACs, [\d.]+ us of at most 600 MACs", printed)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "plan: give the robot types' file, e.g. config/robots.yaml, or an --experiment"),
        (["gone/robots.yaml"], "gone/navigation.yaml: no such file|gone/robots.yaml: no such file"),
        ([ROBOTS, "--budget", "mini"], "--budget mini: give it as TYPE=BUDGET"),
        ([ROBOTS, "--budget", "mimi={macs: 3}"], "--budget mimi={macs: 3}: unknown robot type 'mimi'; did you mean 'm"),
        ([ROBOTS, "--budget", "mini={mac: 3}"], "unknown key 'mac'; did you mean 'macs'"),
        ([ROBOTS, "--budget", "mini={macs: 0}"], "macs: expected `int` >= 1"),
        ([ROBOTS, "--budget", "mini={latency: -1.0}"], "latency: expected `float` > 0.0"),
        ([ROBOTS, "--budget", "mini={macs: 100}"], "mini: no student fits a budget of 100 MACs; the smallest, one hid"),
        ([ROBOTS, "--budget", "mini={"], "'{' is not YAML"),
        (
            [ROBOTS, "--experiment", SPREAD],
            "mpe_spread.yaml: its agents are not types of .*robots.yaml; leave that out",
        ),
        (["--experiment", SPREAD], "agent: has no budget; give it one"),
        (["--experiment", SPREAD, "--budget", "agent={macs: 900}", "--search", "--output", "empty"], "train first"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(KdmarlError, match=message):
        kdmarl("plan", *arguments)


def test_a_search_ends_and_goes_on_where_it_was_cut_off(tmp_path, capsys, monkeypatch):
    output = ["--output", tmp_path / "run", *OVERRIDES]
    kdmarl("train", SPREAD, *output)
    budget = ["--budget", "agent={macs: 1200}", "--search", "--episodes", 6]
    real, made = stage_2.distill, []

    def counted(config, *arguments):
        made.append(config.rounds)
        if len(made) == 10:
            raise RuntimeError("cut off")
        return real(config, *arguments)

    monkeypatch.setattr(stage_2, "distill", counted)
    with pytest.raises(RuntimeError, match="cut off"):
        kdmarl("plan", "--experiment", SPREAD, *output, *budget)
    printed = capsys.readouterr().out
    assert "search: 8 teams for 1 round, then 4 teams for 1 round, then 2 teams for 2 rounds" in printed
    assert not (tmp_path / "run/plan.json").exists()
    kdmarl("plan", "--experiment", SPREAD, *output, *budget)
    assert len(made) == 8 + 4 + 2 + 1  # what was cut off is made again, and nothing else
    report = json.loads((tmp_path / "run/plan.json").read_text())
    assert [row["rung"] for row in report["candidates"]] == [1] * 8 + [2] * 4 + [3] * 2
    last = max(report["candidates"][-2:], key=lambda row: row["return"]["mean"])
    assert report["chosen"]["agent"] == last["hidden"] == pasted(capsys.readouterr().out)["agent"]["hidden"]
    assert report["seed"] != Experiment.load(SPREAD).evaluate.seed
    assert (tmp_path / "run/plan.png").read_bytes().startswith(b"\x89PNG")
    before = report["candidates"]
    kdmarl("plan", "--experiment", SPREAD, *output, *budget)
    assert len(made) == 15
    assert json.loads((tmp_path / "run/plan.json").read_text())["candidates"] == before
