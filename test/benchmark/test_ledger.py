"""A benchmark's file of results: which units count, and files that are something else."""

import msgspec
import pytest

from benchmark_support import RESULTS, aggregated, ledger_of, row
from kdmarl_core.benchmark import ledger
from kdmarl_core.contract import KdmarlError


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_rows_of_shipped_results_are_what_their_units_give(path):
    recorded = ledger.load(path)
    counted = {f"{each['task']}/{each['method']}/{seed}" for each in recorded.team_rows for seed in each["seeds"]}
    in_order = sorted(recorded.units, key=lambda unit: (unit.seed, [*recorded.tasks, unit.task].index(unit.task)))
    keys = {unit.name: unit.sha256 for unit in in_order if unit.name in counted}
    made = ledger.aggregated(recorded, recorded.notes, recorded.about, keys, dict.fromkeys(keys, ""))
    assert made.rows == recorded.rows
    assert made.against == recorded.against


def test_a_unit_takes_the_place_of_one_that_depended_on_other_things():
    recorded = ledger_of(row(sha256="old"), row(sha256="new"))
    assert len(recorded.units) == 1
    for sha256, counts in (("new", True), ("old", False)):
        keys = {"spread/kdmarl/1": sha256}
        assert ("spread/kdmarl/1" in ledger.current(recorded, keys, keys)) == counts
    assert aggregated(recorded).rows == []  # it is there, and counts no more


def test_units_that_met_another_expert_do_not_count():
    old, new = row(), row(method="other")
    old = msgspec.structs.replace(old, expert={"return": [10.0, 10.0, 10.1]})
    rounded = msgspec.structs.replace(row(method="third"), expert={"return": [10.0, 10.0, 10.0 + 1e-12]})
    recorded = ledger_of(old, rounded, row(seed=2), row(task="reference"), new)
    keys = {unit.name: "a" for unit in recorded.units}
    assert ledger.outdated(recorded, keys, keys) == {"spread/kdmarl/1": "spread/other/1"}
    found = aggregated(recorded).rows
    assert {(each["task"], each["method"], *each["seeds"]) for each in found} == {
        ("spread", "kdmarl", 2), ("spread", "other", 1), ("spread", "third", 1), ("reference", "kdmarl", 1),
    }  # fmt: skip
    # Another expert is meant where a method changes what it depends on, and units that count no more tell nothing.
    assert ledger.outdated(recorded, keys, keys | {"spread/kdmarl/1": "b"}) == {}
    assert ledger.outdated(recorded, keys | {"spread/other/1": "b", "spread/third/1": "b"}, keys) == {}


def test_figures_without_a_value_are_none_and_no_stranger_to_themselves(tmp_path):
    never: ledger.Means = {"return": [1.0, 2.0, 3.0], "time_to_goal": [None, None, None]}
    half: ledger.Means = {"return": [8.0, 8.0, 8.0], "time_to_goal": [4.0, None, None]}
    units = [
        msgspec.structs.replace(row(method=method), random=never, students=half, expert=half)
        for method in ("kdmarl", "other")
    ]
    ledger.save(aggregated(ledger_of(*units)), tmp_path / "results.json")
    team, big, small, *others = ledger.load(tmp_path / "results.json").rows
    assert len(others) == 3  # none is left out
    assert (team["time_to_goal"], big["time_to_goal"], small["time_to_goal"]) == (4.0, 4.0, None)
    assert team["random_time_to_goal"] is None


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"{", "is not a file of benchmark results"), (b'{"title": 3}', "is not a file of benchmark results"),
     (b'{"title": "\xff"}', "is not a file of benchmark results"),
     (b'{"title": "t", "schema_version": 9}', "schema_version is 9")],
)  # fmt: skip
def test_other_files_are_refused(tmp_path, content, message):
    path = tmp_path / "results.json"
    path.write_bytes(content)
    with pytest.raises(KdmarlError, match=message):
        ledger.load(path)


def test_saved_and_loaded(tmp_path):
    recorded = ledger_of(row())
    ledger.save(recorded, tmp_path / "results.json")
    assert msgspec.to_builtins(ledger.load(tmp_path / "results.json")) == msgspec.to_builtins(recorded)
