"""Tasks that an experiment file names by their Python name."""

import re
from pathlib import Path

import msgspec
import pytest

from kdmarl_core.contract import KdmarlError
from kdmarl_core.envs.kinds import read_task
from kdmarl_core.envs.robots.navigation import NavigationConfig
from kdmarl_core.envs.task import KINDS

MODULE = """
from kdmarl_core.envs.robots.navigation import NavigationConfig
from kdmarl_core.envs.task import TaskConfig

class Mine(NavigationConfig, frozen=True, kw_only=True):
    patience: float = 1.0

class Unfinished(TaskConfig, frozen=True, kw_only=True):
    pass

class Other:
    pass

number = 3
"""
ROBOTS = {
    "robot_types": "robots.yaml",
    "team": {"scout": 1},
    "observations": {view: {"scout": [{"term": "goal", "range": 3.0}]} for view in ("expert", "student")},
}
EXAMPLES = {
    "navigation": ROBOTS,
    "passage": ROBOTS,
    "coverage": ROBOTS,
    "particle": {"scenario": "simple_spread"},
    "smax": {"scenario": "3m"},
    "pettingzoo": {"env": "mpe2.simple_adversary_v3:parallel_env", "max_steps": 25},
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "brought_tasks.py").write_text(MODULE)
    (tmp_path / "broken_tasks.py").write_text("raise RuntimeError('not today')\n")
    (tmp_path / "needy_tasks.py").write_text("import surely_not_installed\n")
    return tmp_path


def test_a_class_from_the_folder_of_the_file(folder):
    data = {"kind": "brought_tasks:Mine", "patience": 2.0, **ROBOTS}
    task = read_task(data, "mine.yaml", folder)
    assert (type(task).__name__, task.patience, task.name) == ("Mine", 2.0, "mine")
    again = task.data
    assert again["kind"] == "brought_tasks:Mine"
    assert read_task(again, "mine.yaml", folder) == task


def test_all_short_names_lead_to_a_task():
    for kind, where in KINDS.items():
        assert read_task({"kind": kind, **EXAMPLES[kind]}, "f.yaml", Path()).name
        assert where.startswith("kdmarl_core.envs.")


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (3, "$.task: expected `object`, got `int`"),
        (
            {},
            "$.task: give its kind, one of navigation, passage, coverage, particle, smax, pettingzoo, or",
        ),
        ({"kind": "navigaton"}, "$.task.kind: unknown kind 'navigaton'; give one of navigation, passage"),
        (
            {"kind": "brought_tasks:"},
            "$.task.kind: 'brought_tasks:' is not the name of a class or function; give it as package.module:Name",
        ),
        (
            {"kind": "brought:Mine"},
            "brought:Mine: there is no module 'brought'; install it, or put it next",
        ),
        ({"kind": "brought_tasks.inner:Mine"}, "there is no module 'brought_tasks.inner'"),
        (
            {"kind": "brought_tasks:Mien"},
            "module brought_tasks has no 'Mien'; did you mean 'Mine'?",
        ),
        ({"kind": "brought_tasks:Other"}, "brought_tasks:Other is another class, not a subclass of kdmarl_core."),
        ({"kind": "brought_tasks:number"}, "brought_tasks:number is an int, not a subclass of kdmarl_core.envs.task"),
        ({"kind": "brought_tasks:Unfinished"}, "brought_tasks:Unfinished does not define env; see kdmarl_core.envs"),
        ({"kind": "broken_tasks:Mine"}, "importing broken_tasks fails (RuntimeError: not today); fix it"),
        ({"kind": "needy_tasks:Mine"}, "needy_tasks needs 'surely_not_installed', which is not installed; install it"),
        (
            {"kind": "brought_tasks:Mine", "patience": "much", **ROBOTS},
            "$.task.patience: expected `float`, got `str`",
        ),
        (
            {"kind": "brought_tasks:Mine", "patients": 1, **ROBOTS},
            "unknown key 'patients'; did you mean 'patience'?",
        ),
    ],
)
def test_bad_names_are_one_sentence(folder, task, message):
    with pytest.raises(KdmarlError, match=re.escape(message)) as caught:
        read_task(task, "mine.yaml", folder)
    assert str(caught.value).startswith("mine.yaml: $.task")


def test_short_names_read_back():
    task = msgspec.convert({"kind": "navigation", **ROBOTS}, NavigationConfig)
    assert read_task(task.data, "f.yaml", Path()) == task
