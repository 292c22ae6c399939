"""The smoke benchmark runs, is resumed and makes its page; what runs of several processes or experts leave."""

import json

import msgspec
import pytest
from filelock import FileLock

from benchmark_support import SMOKE, result
from kdmarl_core.benchmark import ledger
from kdmarl_core.benchmark import runner as module
from kdmarl_core.benchmark.suite import load_suite, units
from kdmarl_core.cli.main import app
from kdmarl_core.contract import KdmarlError


def run(*arguments):
    app(["benchmark", *map(str, arguments)], standalone_mode=False)


@pytest.mark.timeout(600)
def test_smoke(tmp_path, monkeypatch, capsys):
    results = tmp_path / "smoke.json"
    places = ["--output", results, "--runs", tmp_path / "runs"]
    run(SMOKE, *places, "--dry-run")
    assert "12 of 12 units to do" in capsys.readouterr().out
    assert not results.exists()

    measure, done = module._measure, []

    def cut_off(unit, *arguments):
        if len(done) == 2:
            raise RuntimeError("cut off")
        done.append(unit.name)
        return measure(unit, *arguments)

    monkeypatch.setattr(module, "_measure", cut_off)
    with pytest.raises(RuntimeError, match="cut off"):
        run(SMOKE, *places)
    assert [unit["method"] for unit in json.loads(results.read_text())["units"]] == ["kdmarl", "tiny"]
    monkeypatch.setattr(module, "_measure", measure)
    run(SMOKE, *places)
    out = capsys.readouterr().out
    assert "10 of 12 units to do" in out
    assert "1 of 10: spread/scratch/1" in out

    run(SMOKE, *places, "--dry-run")
    assert "0 of 12 units to do" in capsys.readouterr().out
    recorded = json.loads(results.read_text())
    assert {(row["task"], row["method"]) for row in recorded["rows"]} == {
        (task, method) for task in ("spread", "navigation") for method in ("kdmarl", "tiny", "scratch")
    }
    assert all(row["seeds"] == [1, 2] for row in recorded["rows"])
    assert {each["method"] for each in recorded["against"]} == {"tiny", "scratch"}
    assert list(recorded["still"]) == ["navigation"]
    assert {row["still_return"] for row in recorded["rows"] if row["task"] == "navigation"} == {0.0}

    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- begin from smoke.json -->\nold\n<!-- end from smoke.json -->\nafter\n")
    app(["report", str(results), "--readme", str(readme)], standalone_mode=False)
    text = readme.read_text()
    assert text.startswith("before")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "| navigation | 2 |" in text
    assert (tmp_path / "smoke.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "smoke.md").read_text()
    assert "| spread | `scratch` | team |" in page
    assert "| navigation | 0.00 |" in page.partition("## From standing still")[2]


def test_what_another_process_is_at_comes_last(tmp_path, monkeypatch):
    results, runs, done = tmp_path / "smoke.json", tmp_path / "runs", []
    first = units(load_suite(SMOKE), SMOKE)[0]
    lock = FileLock(module._expert_folder(first, runs).with_suffix(".lock"))
    (runs / "experts").mkdir(parents=True)

    def measure(unit, sha256, *_):
        done.append(unit.name)
        if len(done) == 9:  # of 12; the other process ends
            lock.release()
        return msgspec.structs.replace(result(unit.task, unit.method), seed=unit.seed, sha256=sha256)

    monkeypatch.setattr(module, "_measure", measure)
    lock.acquire()
    run(SMOKE, "--output", results, "--runs", runs)
    assert len(json.loads(results.read_text())["units"]) == 12
    assert done[9:] == ["spread/kdmarl/1", "spread/tiny/1", "spread/scratch/1"]


def test_one_unit_that_fails_is_reported_and_the_others_are_done(tmp_path, monkeypatch, capsys):
    results, places = tmp_path / "smoke.json", ["--output", tmp_path / "smoke.json", "--runs", tmp_path / "runs"]

    def measure(unit, sha256, *_):
        if unit.name == "spread/tiny/1":
            raise KdmarlError("the loss is not finite")
        return msgspec.structs.replace(result(unit.task, unit.method), seed=unit.seed, sha256=sha256)

    monkeypatch.setattr(module, "_measure", measure)
    with pytest.raises(KdmarlError, match="1 of 12 units have failed: spread/tiny/1; see the errors above"):
        run(SMOKE, *places)
    assert "spread/tiny/1: failed: the loss is not finite" in capsys.readouterr().out
    recorded = ledger.load(results)
    assert len(recorded.units) == 11
    assert [row["seeds"] for row in recorded.rows if (row["task"], row["method"]) == ("spread", "tiny")] == [[2]]


def test_results_of_another_benchmark_stay_as_they_are(tmp_path):
    results = tmp_path / "other.json"
    ledger.save(ledger.Ledger(title="Other"), results)
    before = results.read_bytes()
    with pytest.raises(KdmarlError, match="has results of 'Other', but the title of .* is 'Smoke test'; give"):
        run(SMOKE, "--output", results, "--runs", tmp_path / "runs")
    assert results.read_bytes() == before


def test_a_unit_without_retention_is_reported_and_left_out(tmp_path, monkeypatch, capsys):
    def measure(unit, sha256, *_):
        made = msgspec.structs.replace(result(unit.task, unit.method), seed=unit.seed, sha256=sha256)
        return msgspec.structs.replace(made, random={"return": [1.0]}) if unit.name == "spread/tiny/1" else made

    monkeypatch.setattr(module, "_measure", measure)
    run(SMOKE, "--output", tmp_path / "smoke.json", "--runs", tmp_path / "runs", "--only", "spread/tiny/*")
    assert "spread/tiny/1: left out, since its expert returns 1.000, no more than random" in capsys.readouterr().out
    assert [row["seeds"] for row in ledger.load(tmp_path / "smoke.json").rows] == [[2]]


def test_units_of_another_expert_are_left_out_and_done_again(tmp_path, monkeypatch, capsys):
    """A retrained expert is a different one, though nothing that the units depend on has changed."""
    results, places = tmp_path / "smoke.json", ["--output", tmp_path / "smoke.json", "--runs", tmp_path / "runs"]

    def measure(unit, sha256, *_):
        seconds = dict.fromkeys(("expert", "policies", "measuring"), 1.0)
        made = result(unit.task, unit.method)
        return msgspec.structs.replace(made, seed=unit.seed, sha256=sha256, seconds=seconds)

    monkeypatch.setattr(module, "_measure", measure)
    run(SMOKE, *places)
    recorded = ledger.load(results)
    first = next(unit for unit in recorded.units if unit.name == "spread/kdmarl/1")
    ledger.save(recorded.add(msgspec.structs.replace(first, expert={"return": [2.0]})), results)  # the newest
    capsys.readouterr()
    run(SMOKE, *places, "--dry-run")
    out = capsys.readouterr().out
    assert "2 of 12 units to do" in out
    assert (
        "spread/scratch/1: left out, since its expert and random commands return 1.000 and 0.000, but those of the "
        "newer spread/kdmarl/1 2.000 and 0.000; run kdmarl benchmark to measure it again"
    ) in out

    run(SMOKE, *places, "--only", "navigation/*")
    rows = {(row["task"], row["method"]): row["seeds"] for row in ledger.load(results).rows}
    assert rows["spread", "kdmarl"] == [1, 2]
    assert rows["spread", "scratch"] == [2]
    monkeypatch.setattr(module, "_measure", lambda *of: msgspec.structs.replace(measure(*of), expert={"return": [2.0]}))
    run(SMOKE, *places, "--only", "spread/*")
    rows = {(row["task"], row["method"]): row["seeds"] for row in ledger.load(results).rows}
    assert rows["spread", "scratch"] == [1, 2]
