"""A benchmark's results: retention, what is averaged, intervals over seeds, and files that are none."""

import msgspec
import numpy as np
import pytest
from scipy import stats

from kdmarl_core.benchmark import ledger
from kdmarl_core.benchmark.ledger import Cost, Ledger, Row, Still
from kdmarl_core.contract import KdmarlError

COSTS = {"big": Cost(macs=100, expert_macs=3000, parameters=110, bytes=440),
         "small": Cost(macs=50, expert_macs=3000, parameters=60, bytes=240)}  # fmt: skip


def row(task="spread", method="kdmarl", seed=1, students=(8.0, 8.0, 5.0), sha256="a"):
    returns = {"students": list(students), "expert": [10.0, 10.0, 10.0], "random": [0.0, 0.0, 0.0]}
    return Row(
        task=task, method=method, seed=seed, sha256=sha256, commit="c", episodes=4,
        command=f"kdmarl benchmark x --only {task}/{method}/{seed}",
        types={"big": [0, 1], "small": [2]}, costs=COSTS, env_steps={}, seconds={"policies": 60.0},
        **{who: {"return": values} for who, values in returns.items()},
    )  # fmt: skip


def aggregated(book):
    names = {unit.name: "a" for unit in book.units}
    notes = {"methods": dict.fromkeys(("kdmarl", "other", "third", "fourth"), "")}
    return ledger.aggregated(book, notes, "", names, names)


def test_retention_of_types_team_and_worst_robot():
    unit = row()
    assert unit.retention("big") == pytest.approx(0.8)
    assert unit.retention("small") == pytest.approx(0.5)
    assert unit.retention("team") == pytest.approx(0.7)
    assert unit.worst == pytest.approx(0.5)


def test_rows_hold_what_a_table_needs():
    book = Ledger(title="t")
    for seed, of_small in ((1, 4.0), (2, 6.0)):
        book = book.add(row(seed=seed, students=(8.0, 8.0, of_small)))
    book = aggregated(book)
    team, _, small = book.rows
    assert (team["student"], small["student"]) == ("team", "small")
    assert small["retention"] == {"iqm": 0.5, "low": 0.4, "high": 0.6}
    assert (small["macs_ratio"], team["macs_ratio"]) == (60.0, 36.0)  # over two big ones and a small one
    assert team["macs"] == pytest.approx((2 * 100 + 50) / 3, abs=0.1)
    assert (team["seeds"], team["return"], team["expert_return"]) == ([1, 2], 7.0, 10.0)
    assert team["command"] == "kdmarl benchmark x --only 'spread/kdmarl/*'"
    for key in ("task", "method", "params", "bytes", "command", "worst_robot"):
        assert key in team


def test_standing_still_is_another_zero():
    figures = {"return": [5.0, 5.0, 4.0]}
    assert row().retention("big", figures) == pytest.approx(0.6)
    book = Ledger(title="t", still={"spread": Still(sha256="a", figures=figures)}).add(row()).add(row(task="tag"))
    team, _, small, *elsewhere = aggregated(book).rows
    assert (team["still_return"], team["retention_from_still"]["iqm"]) == pytest.approx((14 / 3, 7 / 16), abs=1e-5)
    assert (small["still_return"], small["retention_from_still"]["iqm"]) == pytest.approx((4.0, 1 / 6), abs=1e-5)
    assert not any("still_return" in each for each in elsewhere)


def test_the_first_method_is_set_against_each_other_on_what_both_have_done():
    book = Ledger(title="t")
    for unit in (
        *(row(seed=seed, students=(8.0, 8.0, 8.0)) for seed in (1, 2, 3)),
        *(row(method="other", seed=seed, students=(seed, seed, seed)) for seed in (1, 2, 4)),
        row(task="reference", students=(5.0, 5.0, 5.0)),
        row(method="third", seed=3, students=(6.0, 6.0, 6.0)),
        row(task="reference", method="third", students=(7.0, 7.0, 7.0)),
        row(task="tag", method="third"),
        row(task="tag", method="fourth"),
    ):
        book = book.add(unit)
    other, third = aggregated(book).against
    assert (other["method"], other["tasks"], other["pairs"]) == ("other", ["spread"], 2)
    assert (other["first"], other["other"], other["difference"]) == pytest.approx((0.8, 0.15, 0.65))
    assert (other["low"], other["high"]) == pytest.approx((0.6, 0.7))  # all that two seeds can be drawn to
    assert other["better"] == ["spread"]
    assert (third["method"], third["tasks"], third["pairs"]) == ("third", ["spread", "reference"], 2)
    assert (third["first"], third["other"], third["difference"]) == pytest.approx((0.65, 0.65, 0.0))
    assert (third["low"], third["better"]) == (None, ["spread"])


def test_rows_stand_in_the_benchmarks_order_whatever_was_measured_first():
    keys = dict.fromkeys(("reference/kdmarl/1", "spread/kdmarl/1", "reference/kdmarl/2", "spread/kdmarl/2"), "a")
    book = Ledger(title="t").add(row()).add(row(task="reference", seed=2))
    rows = ledger.aggregated(book, {"methods": {"kdmarl": ""}}, "", keys, keys).rows
    assert list(dict.fromkeys(each["task"] for each in rows)) == ["reference", "spread"]


def test_a_method_that_has_no_first_seed_stands_at_its_place_all_the_same():
    names = ("reference/kdmarl/1", "spread/kdmarl/1", "reference/kdmarl/2", "reference/other/2", "spread/kdmarl/2")
    keys = dict.fromkeys(names, "a")
    book = Ledger(title="t").add(row()).add(row(task="reference")).add(row(task="reference", method="other", seed=2))
    rows = ledger.aggregated(book, {"methods": {"kdmarl": "", "other": ""}}, "", keys, keys).team_rows
    assert [(each["task"], each["method"]) for each in rows] == [
        ("reference", "kdmarl"), ("reference", "other"), ("spread", "kdmarl"),
    ]  # fmt: skip


def test_a_unit_takes_the_place_of_one_that_depended_on_other_things():
    book = Ledger(title="t").add(row(sha256="old")).add(row(sha256="new"))
    assert len(book.units) == 1
    for sha256, counts in (("new", True), ("old", False)):
        keys = {"spread/kdmarl/1": sha256}
        assert ("spread/kdmarl/1" in ledger.current(book, keys, keys)) == counts
    assert aggregated(book).rows == []  # it is there, and counts no more


def test_units_that_met_another_expert_do_not_count():
    old, new = row(), row(method="other")
    old = msgspec.structs.replace(old, expert={"return": [10.0, 10.0, 10.1]})
    rounded = msgspec.structs.replace(row(method="third"), expert={"return": [10.0, 10.0, 10.0 + 1e-12]})
    book = Ledger(title="t").add(old).add(rounded).add(row(seed=2)).add(row(task="reference")).add(new)
    keys = {unit.name: "a" for unit in book.units}
    assert ledger.strangers(book, keys, keys) == {"spread/kdmarl/1": "spread/other/1"}
    found = aggregated(book).rows
    assert {(each["task"], each["method"], *each["seeds"]) for each in found} == {
        ("spread", "kdmarl", 2), ("spread", "other", 1), ("spread", "third", 1), ("reference", "kdmarl", 1),
    }  # fmt: skip
    # Another expert is meant where a method changes what it depends on, and units that count no more tell nothing.
    assert ledger.strangers(book, keys, keys | {"spread/kdmarl/1": "b"}) == {}
    assert ledger.strangers(book, keys | {"spread/other/1": "b", "spread/third/1": "b"}, keys) == {}


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(0)
    found = []
    for trial in range(200):
        scores = rng.normal([0.2, 0.9], 0.05, (20, 2))
        each = ledger.interval(scores, seed=trial)
        assert each.iqm == pytest.approx(stats.trim_mean(scores, 0.25, axis=None), abs=1e-5)
        found.append(each)
    # The strata stay whole: the interval is that of the seeds, far narrower than the tasks are apart.
    assert np.mean([each.high - each.low for each in found]) < 0.12
    assert np.mean([each.low <= 0.55 <= each.high for each in found]) > 0.85


def test_one_seed_has_no_interval():
    assert ledger.interval(np.array([[0.5, 0.7]])) == ledger.Interval(iqm=0.6, low=0.6, high=0.6)


def test_nothing_is_retained_of_an_expert_that_is_no_better_than_random_commands():
    some = msgspec.structs.replace(row(), random={"return": [0.0, 0.0, 10.0]})
    assert np.isnan(some.retention("small"))
    assert some.worst == pytest.approx(0.8)  # of the others
    none = msgspec.structs.replace(row(seed=2), random={"return": [20.0, 20.0, 20.0]})
    assert np.isnan(none.retention("team"))
    assert np.isnan(none.worst)
    team, _, small = aggregated(Ledger(title="t").add(some).add(none)).rows
    assert team["seeds"] == [1]
    assert small["retention"] == {"iqm": None, "low": None, "high": None}


def test_means_leave_out_episodes_without_a_value():
    values = np.array([[1.0, np.nan], [np.nan, np.nan], [3.0, np.nan]])
    assert ledger.agent_means(values) == [2.0, None]


def test_figures_without_a_value_are_none_and_no_stranger_to_themselves(tmp_path):
    never: ledger.Means = {"return": [1.0, 2.0, 3.0], "time_to_goal": [None, None, None]}
    half: ledger.Means = {"return": [8.0, 8.0, 8.0], "time_to_goal": [4.0, None, None]}
    book = Ledger(title="t")
    for method in ("kdmarl", "other"):
        book = book.add(msgspec.structs.replace(row(method=method), random=never, students=half, expert=half))
    ledger.save(aggregated(book), tmp_path / "results.json")
    team, big, small, *others = ledger.load(tmp_path / "results.json").rows
    assert len(others) == 3  # none is left out
    assert (team["time_to_goal"], big["time_to_goal"], small["time_to_goal"]) == (4.0, 4.0, None)
    assert team["random_time_to_goal"] is None


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"{", "is no file of benchmark results"), (b'{"title": 3}', "is no file of benchmark results"),
     (b'{"title": "\xff"}', "is no file of benchmark results"),
     (b'{"title": "t", "schema_version": 9}', "schema_version is 9")],
)  # fmt: skip
def test_other_files_are_refused(tmp_path, content, message):
    path = tmp_path / "results.json"
    path.write_bytes(content)
    with pytest.raises(KdmarlError, match=message):
        ledger.load(path)


def test_saved_and_loaded(tmp_path):
    book = Ledger(title="t").add(row())
    ledger.save(book, tmp_path / "results.json")
    assert msgspec.to_builtins(ledger.load(tmp_path / "results.json")) == msgspec.to_builtins(book)
