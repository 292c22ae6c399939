"""The table of figures agrees with what environments, manifest and judge have."""

import pytest

from kdmarl_core.contract import figures
from kdmarl_core.contract.manifest import Interval, Results
from kdmarl_core.evaluate import episodes
from kdmarl_core.experiment import Experiment
from kdmarl_core.judge.judgement import RobotResult
from support import REPOSITORY

NAMES = [figure.name for figure in figures.FIGURES]


def test_policy_files_carry_the_recorded_figures_and_the_experts():
    recorded = [figure.name for figure in figures.RECORDED]
    fields = Results.__annotations__
    measured = [name for name, kind in fields.items() if kind == "Interval | None" and name != "retention"]
    assert sorted(measured) == sorted(recorded)
    expert = [name for name in fields if f"expert_{name}" in fields]
    assert sorted(expert) == sorted(["macs", *recorded])
    assert Interval.__struct_fields__ == ("mean", "low", "high")


@pytest.mark.parametrize("config", ["navigation", "coverage", "passage", "mpe_spread", "mpe_tag"])
def test_every_figure_of_an_episode_is_in_the_table(config):
    path = REPOSITORY / "config" / f"{config}.yaml"
    found = episodes.run(Experiment.load(path).env(1), episodes.random_commands(0), 1, 0)
    assert len(found) > 1
    assert set(found) - {"return"} <= set(NAMES)


def test_every_figure_that_the_judge_shows_is_in_its_results():
    assert {"time_to_goal", "collisions", "path_length", "stops"} <= set(NAMES) & set(RobotResult.__struct_fields__)


def test_names_are_of_one_figure_and_tables_keep_its_order():
    assert len(set(NAMES)) == len(NAMES)
    for chosen in (figures.EVALUATED, figures.COMPARED):
        assert [name for name in NAMES if name in chosen] == list(chosen)


@pytest.mark.parametrize(
    ("figure", "heading", "value", "shown"),
    [
        (figures.TIME_TO_GOAL, "time to goal [s]", 3.14, "3.1 s"),
        (figures.COLLISIONS, "collisions", 2, "2"),
        (figures.CLEARANCE, "min clearance [m]", 0.123, "0.12 m"),
        (figures.SUCCESS, "at goal", None, "–"),
    ],
)
def test_values_are_shown_with_their_units(figure, heading, value, shown):
    assert (figure.heading, figure.show(value)) == (heading, shown)
