"""Pages and tables that `kdmarl report` makes of results."""

from pathlib import Path

import msgspec
import pytest

from benchmark_support import result
from kdmarl_core.benchmark import intervals, ledger
from kdmarl_core.cli.main import app
from kdmarl_core.contract import KdmarlError
from support import REPOSITORY

NAMED = ("", ": methods", ": against")


def names(units_done):
    return {unit.name: "" for unit in units_done}


def kept(task, method, *scores):
    """Results of one seed for each score."""
    return [
        msgspec.structs.replace(result(task, method), seed=seed, students={"return": [score]})
        for seed, score in enumerate(scores)
    ]


def test_a_report_of_what_is_there_yet(tmp_path):
    units_done = [result("spread", "kdmarl"), result("spread", "scratch"), result("navigation", "kdmarl")]
    recorded = ledger.Ledger(title="Half done", units=units_done)
    notes = {"methods": dict.fromkeys(["kdmarl", "never", "scratch"], "words"), "tasks": {"spread": "a", "other": "b"}}
    ledger.save(ledger.aggregated(recorded, notes, "", names(units_done), names(units_done)), tmp_path / "half.json")
    app(["report", str(tmp_path / "half.json")], standalone_mode=False)
    page = (tmp_path / "half.md").read_text()
    assert "| navigation | 0.500 |  |" in page
    assert "| `scratch` | 1 | 1 | 0.500 | 0.500 | +0.000 | spread |" in page
    assert "never" not in page
    assert "- `other`" not in page


def test_tables_of_a_report_stand_where_a_readme_names_them(tmp_path):
    units_done = [result("spread", "kdmarl"), result("spread", "scratch")]
    recorded = ledger.Ledger(title="One task", units=units_done)
    notes = {"methods": dict.fromkeys(["kdmarl", "scratch"], ""), "tasks": {"spread": ""}}
    ledger.save(ledger.aggregated(recorded, notes, "", names(units_done), names(units_done)), tmp_path / "one.json")
    readme = tmp_path / "README.md"

    def renew(text):
        readme.write_text(text)
        app(["report", str(tmp_path / "one.json"), "--readme", str(readme)], standalone_mode=False)
        return readme.read_text()

    wanted = "".join(f"<!-- begin from one.json{key} -->\n<!-- end from one.json{key} -->\n" for key in NAMED)
    first, methods, against = renew(wanted).split("<!-- end")[:3]
    assert "| spread | 1 |" in first
    assert "| method | spread |" in methods  # more methods than tasks: methods go down
    assert "| `scratch` | 0.500 |" in methods
    assert "| `scratch` | 1 | 1 | 0.500 | 0.500 | +0.000 | spread |" in against
    for text, message in [
        ("", "has no lines '<!-- begin from one.json -->'"),
        ("<!-- begin from one.json: agianst -->", "does not name a table; did you mean 'one.json: against'"),
        ("<!-- begin from one.json -->\n", "has '<!-- begin from one.json -->' without '<!-- end from one.json -->'"),
    ]:
        with pytest.raises(KdmarlError, match=message):
            renew(text)
        assert readme.read_text() == text


@pytest.mark.parametrize("name", ["main", "limited", "ablation"])
def test_shipped_pages_and_tables_are_what_their_results_give(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results = Path(f"docs/results/{name}.json")
    results.parent.mkdir(parents=True)
    for path in (results, Path("README.md")):
        path.write_bytes((REPOSITORY / path).read_bytes())
    app(["report", str(results), "--readme", "README.md"], standalone_mode=False)
    for path in (results.with_suffix(".md"), Path("README.md")):
        assert path.read_text() == (REPOSITORY / path).read_text()


def test_what_methods_are_held_to(tmp_path):
    done = [
        *kept("spread", "kdmarl", *4 * [0.97]), *kept("tag", "kdmarl", 0.94, 0.96, 0.97, 0.98),
        *kept("reference", "kdmarl", 0.9), *kept("coverage", "kdmarl", 0.98, 1.0),
        *kept("spread", "small", 0.99),
    ]  # fmt: skip
    bars = {"kdmarl": ledger.Bar(retention=0.95, macs_ratio=28.6), "small": ledger.Bar(retention=0.9, macs_ratio=100)}
    notes = {"methods": dict.fromkeys(["kdmarl", "small"], ""), "tasks": {}}
    recorded = ledger.Ledger(title="", bars=bars, units=done)
    recorded = ledger.aggregated(recorded, notes, "", names(done), names(done))
    ledger.save(recorded, tmp_path / "some.json")
    app(["report", str(tmp_path / "some.json")], standalone_mode=False)
    page = (tmp_path / "some.md").read_text()
    assert (
        "| `kdmarl` | 0.95 at 28.6x | spread (0.970 at 30.0x) | tag (0.965 [0.940, 0.980] at 30.0x) | "
        "coverage (0.990 [0.980, 1.000] at 30.0x) | reference (0.900 at 30.0x) |"
    ) in page
    assert "| `small` | 0.90 at 100x | none | none | none | spread (0.990 at 30.0x) |" in page


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ([0.5, 0.6], "+0.300 [+0.200, +0.400] | +0.10: held |"),
        ([0.5, 0.9], "+0.150 [-0.100, +0.400] | +0.10: held, not surely |"),
        ([1.0, 0.85], "-0.075 [-0.100, -0.050] | +0.10: missed | spread |"),
    ],
)
def test_how_far_ahead_the_first_method_is_held_to_be(tmp_path, others, expected):
    done = [*kept("spread", "kdmarl", 0.9, 0.8), *kept("spread", "other", *others)]
    notes = {"methods": dict.fromkeys(["kdmarl", "other"], ""), "tasks": {}}
    recorded = ledger.Ledger(title="", leads={"other": 0.1}, units=done)
    ledger.save(ledger.aggregated(recorded, notes, "", names(done), names(done)), tmp_path / "some.json")
    app(["report", str(tmp_path / "some.json")], standalone_mode=False)
    page = (tmp_path / "some.md").read_text()
    assert "| difference | bar | `kdmarl` no better on |" in page
    assert expected in page


@pytest.mark.parametrize(("score", "line"), [(0.96, "| spread |  | `direct` | 1 |"), (0.5, "| spread | none; best: |")])
def test_the_smallest_network_from_scratch(tmp_path, score, line):
    expert_sized = result("spread", "direct")
    expert_sized = msgspec.structs.replace(expert_sized, students={"return": [score]})
    done = [result("spread", "kdmarl"), expert_sized, result("spread", "scratch")]
    notes = {"methods": dict.fromkeys(["kdmarl", "direct", "scratch"], ""), "tasks": {}}
    notes["stages"] = {"kdmarl": "distill", "direct": "direct", "scratch": "scratch"}
    recorded = ledger.aggregated(ledger.Ledger(title="", units=done), notes, "", names(done), names(done))
    ledger.save(recorded, tmp_path / "some.json")
    app(["report", str(tmp_path / "some.json")], standalone_mode=False)
    assert line in (tmp_path / "some.md").read_text()


@pytest.mark.parametrize(
    ("seeds", "line"),
    [
        (1, "| 1 | mean | none: how much another seed would differ is not known |  |"),
        (3, f"| 3 | mean | lowest to highest seed | {100 * intervals.COVERAGE[3].iqm:.0f} % |"),
        (5, f"| 5 | mean of the middle 3 | bootstrap | {100 * intervals.COVERAGE[5].iqm:.0f} % |"),
        (6, "| 6 | mean of the middle 4 | bootstrap |  |"),  # not simulated
    ],
)
def test_pages_say_what_a_retention_of_so_many_seeds_is(tmp_path, seeds, line):
    page = page_of(tmp_path, *kept("spread", "kdmarl", *range(seeds)))
    assert f"| contains the true value |\n| --- | --- | --- | --- |\n{line}\n\n" in page
    page = page_of(tmp_path, *kept("spread", "kdmarl", *range(seeds)), *kept("spread", "scratch", *range(seeds)))
    assert "| difference over 1 task | difference over 10 tasks |" in page


def test_the_error_of_a_win_rate_is_that_of_its_episodes(tmp_path):
    unit = msgspec.structs.replace(result("tag", "kdmarl"), episodes=400)
    figures = {
        who: getattr(unit, who) | {"win_rate": [rate]}
        for who, rate in (("students", 0.5), ("expert", 0.9), ("random", 0.1))
    }
    page = page_of(tmp_path, msgspec.structs.replace(unit, **figures))
    assert "on the same 400 episodes" in page
    assert "standard error of up to 0.025 in the win rates" in page
    assert "standard error" not in page_of(tmp_path, unit)


def page_of(folder, *units):
    """The page of a benchmark of those units."""
    notes = {"methods": dict.fromkeys((unit.method for unit in units), ""), "tasks": {}}
    recorded = ledger.aggregated(ledger.Ledger(title="", units=list(units)), notes, "", names(units), names(units))
    ledger.save(recorded, folder / "some.json")
    app(["report", str(folder / "some.json")], standalone_mode=False)
    return (folder / "some.md").read_text()


def test_a_report_needs_results_and_marks(tmp_path):
    with pytest.raises(KdmarlError, match="none.json: no such file; kdmarl benchmark makes it"):
        app(["report", str(tmp_path / "none.json")], standalone_mode=False)
    ledger.save(ledger.Ledger(title=""), tmp_path / "none.json")
    with pytest.raises(KdmarlError, match="has no results yet"):
        app(["report", str(tmp_path / "none.json")], standalone_mode=False)
    spoiled = ledger.Ledger(title="", notes={"methods": {"a": ""}}, rows=[{"method": "a", "student": "team"}])
    ledger.save(spoiled, tmp_path / "none.json")
    with pytest.raises(KdmarlError, match="a row lacks '.*'; run kdmarl benchmark to recompute the rows"):
        app(["report", str(tmp_path / "none.json")], standalone_mode=False)


@pytest.mark.parametrize("lost", ["seeds", "retention", "macs", "expert_return", "params", "minutes"])
def test_a_row_that_lacks_something_is_named(tmp_path, lost):
    before = page_of(tmp_path, result("spread", "kdmarl"))
    recorded = ledger.load(tmp_path / "some.json")
    rows = [{key: value for key, value in row.items() if key != lost} for row in recorded.rows]
    ledger.save(msgspec.structs.replace(recorded, rows=rows), tmp_path / "some.json")
    with pytest.raises(KdmarlError, match=f"a row lacks '{lost}'; run kdmarl benchmark to recompute the rows"):
        app(["report", str(tmp_path / "some.json")], standalone_mode=False)
    assert (tmp_path / "some.md").read_text() == before
