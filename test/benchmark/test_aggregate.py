"""Rows over seeds, and the first method against each other one."""

import msgspec
import pytest

from benchmark_support import aggregated, ledger_of, row
from kdmarl_core.benchmark import ledger
from kdmarl_core.benchmark.ledger import Still


def test_rows_hold_what_a_table_needs():
    recorded = aggregated(ledger_of(row(seed=1, students=(8.0, 8.0, 4.0)), row(seed=2, students=(8.0, 8.0, 6.0))))
    team, _, small = recorded.rows
    assert (team["student"], small["student"]) == ("team", "small")
    assert small["retention"] == {"iqm": 0.5, "low": 0.4, "high": 0.6}
    assert (small["macs_ratio"], team["macs_ratio"]) == (60.0, 36.0)  # over two big ones and a small one
    assert team["macs"] == pytest.approx((2 * 100 + 50) / 3, abs=0.1)
    assert (team["seeds"], team["return"], team["expert_return"]) == ([1, 2], 7.0, 10.0)
    assert team["command"] == "kdmarl benchmark x --only 'spread/kdmarl/*'"
    for key in ("task", "method", "params", "bytes", "command", "worst_robot"):
        assert key in team


def test_standing_still_is_another_zero():
    still = {"spread": Still(sha256="a", figures={"return": [5.0, 5.0, 4.0]})}
    recorded = msgspec.structs.replace(ledger_of(row(), row(task="tag")), still=still)
    team, _, small, *elsewhere = aggregated(recorded).rows
    assert (team["still_return"], team["retention_from_still"]["iqm"]) == pytest.approx((14 / 3, 7 / 16), abs=1e-5)
    assert (small["still_return"], small["retention_from_still"]["iqm"]) == pytest.approx((4.0, 1 / 6), abs=1e-5)
    assert not any("still_return" in each for each in elsewhere)


def test_the_first_method_is_set_against_each_other_on_what_both_have_done():
    recorded = ledger_of(
        *(row(seed=seed, students=(8.0, 8.0, 8.0)) for seed in (1, 2, 3)),
        *(row(method="other", seed=seed, students=(seed, seed, seed)) for seed in (1, 2, 4)),
        row(task="reference", students=(5.0, 5.0, 5.0)),
        row(method="third", seed=3, students=(6.0, 6.0, 6.0)),
        row(task="reference", method="third", students=(7.0, 7.0, 7.0)),
        row(task="tag", method="third"),
        row(task="tag", method="fourth"),
    )
    other, third = aggregated(recorded).against
    assert (other["method"], other["tasks"], other["pairs"]) == ("other", ["spread"], 2)
    assert (other["first"], other["other"], other["difference"]) == pytest.approx((0.8, 0.15, 0.65))
    assert (other["low"], other["high"]) == pytest.approx((0.6, 0.7))  # all that two seeds can be drawn to
    assert other["better"] == ["spread"]
    assert (third["method"], third["tasks"], third["pairs"]) == ("third", ["spread", "reference"], 2)
    assert (third["first"], third["other"], third["difference"]) == pytest.approx((0.65, 0.65, 0.0))
    assert (third["low"], third["better"]) == (None, ["spread"])


def test_rows_stand_in_the_benchmarks_order_whatever_was_measured_first():
    keys = dict.fromkeys(("reference/kdmarl/1", "spread/kdmarl/1", "reference/kdmarl/2", "spread/kdmarl/2"), "a")
    recorded = ledger.aggregated(
        ledger_of(row(), row(task="reference", seed=2)), {"methods": {"kdmarl": ""}}, "", keys, keys
    )  # fmt: skip
    assert recorded.tasks == ["reference", "spread"]


def test_a_method_that_has_no_first_seed_stands_at_its_place_all_the_same():
    names = ("reference/kdmarl/1", "spread/kdmarl/1", "reference/kdmarl/2", "reference/other/2", "spread/kdmarl/2")
    keys = dict.fromkeys(names, "a")
    recorded = ledger_of(row(), row(task="reference"), row(task="reference", method="other", seed=2))
    rows = ledger.aggregated(recorded, {"methods": {"kdmarl": "", "other": ""}}, "", keys, keys).team_rows
    assert [(each["task"], each["method"]) for each in rows] == [
        ("reference", "kdmarl"), ("reference", "other"), ("spread", "kdmarl"),
    ]  # fmt: skip


def test_units_without_a_retention_do_not_count():
    some = msgspec.structs.replace(row(), random={"return": [0.0, 0.0, 10.0]})
    none = msgspec.structs.replace(row(seed=2), random={"return": [20.0, 20.0, 20.0]})
    team, _, small = aggregated(ledger_of(some, none)).rows
    assert team["seeds"] == [1]
    assert small["retention"] == {"iqm": None, "low": None, "high": None}
