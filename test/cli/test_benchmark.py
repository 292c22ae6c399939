"""The shipped benchmarks: they fit, and the smoke test runs, is resumed and makes its page."""

import json
from datetime import date
from pathlib import Path

import msgspec
import pytest
import yaml
from filelock import FileLock

from kdmarl_core.cli import benchmark as module
from kdmarl_core.cli.main import app
from kdmarl_core.cli.suite import key, load_suite, select, units
from kdmarl_core.contract import KdmarlError
from kdmarl_core.evaluate import ledger
from support import REPOSITORY

FILES = sorted((REPOSITORY / "config/benchmarks").glob("*.yaml"))
SMOKE = REPOSITORY / "config/benchmarks/smoke.yaml"
NAMED = ("", ": methods", ": against")


def run(*arguments):
    app(["benchmark", *map(str, arguments)], standalone_mode=False)


def written(tmp_path, **changes):
    data = yaml.safe_load(SMOKE.read_text())
    data["tasks"] = {name: task | {"config": str(REPOSITORY / "config" / task["config"][3:])}
                     for name, task in data["tasks"].items()}  # fmt: skip
    path = tmp_path / "suite.yaml"
    path.write_text(yaml.safe_dump(data | changes, sort_keys=False))
    return path


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_shipped_files_fit(path):
    assert units(load_suite(path), path)


def test_units_share_experts_and_budgets():
    found = {unit.name: unit for unit in units(load_suite(SMOKE), SMOKE)}
    kdmarl, tiny, scratch = (found[f"spread/{method}/1"] for method in ("kdmarl", "tiny", "scratch"))
    assert key(kdmarl.origin) == key(scratch.origin) != key(found["spread/kdmarl/2"].origin)
    assert len({key(unit.depends_on) for unit in found.values()}) == len(found)
    assert (scratch.alone.view, scratch.alone.critic_view) == ("student", "expert")
    assert scratch.alone.actors == kdmarl.experiment.distill.students
    given = sum(kdmarl.env_steps.values())
    assert given <= scratch.env_steps["policies"] < given + scratch.alone.envs * scratch.alone.steps
    widths = {name: size.hidden for name, size in tiny.experiment.distill.students.items()}
    assert widths == {"agent": (17, 17)}  # 18·17 + 17² + 17·5 = 680 of 71,424 / 100


def test_scratch_explores_as_the_expert_does():
    found = {unit.name: unit for unit in units(load_suite(SMOKE), SMOKE)}
    unit = found["navigation/scratch/1"]
    actor, students = unit.experiment.expert.actor, unit.experiment.distill.students
    assert actor.log_std != students["mini"].log_std
    for name, network in unit.alone.actors.items():
        assert (network.log_std, network.hidden) == (actor.log_std, students[name].hidden)


def test_rows_of_one_type_stay_and_those_of_several_are_made_again():
    """The polish's loss changed for teams of several types only, and which episodes count for SMAX only."""
    path = REPOSITORY / "config/benchmarks/main.yaml"
    found = {unit.name: unit for unit in units(load_suite(path), path)}
    assert "polish_over_types" not in found["spread/kdmarl/1"].depends_on["learnt"]
    assert "polish_over_types" in found["speaker_listener/kdmarl/1"].depends_on["learnt"]
    assert "polish_over_types" not in found["speaker_listener/aggregation/1"].depends_on["learnt"]
    assert "order" in found["smacv2_5_units/kdmarl/1"].references["evaluate"]
    assert "order" not in found["navigation/kdmarl/1"].references["evaluate"]


def test_methods_of_many_rounds_lose_no_moment():
    for name in ("main", "limited", "ablation"):
        path = REPOSITORY / f"config/benchmarks/{name}.yaml"
        for unit in units(load_suite(path), path):
            distill = unit.experiment.distill
            moments = distill.envs * distill.rounds * distill.steps
            assert distill.capacity >= moments or unit.task == "smax_3s5z", unit.name
            assert distill.driver == "expert" or distill.rounds == 1 or round(distill.handover * distill.rounds) == 10


def test_students_of_a_method_may_have_another_size_activation_and_memory(tmp_path):
    methods = {"as_given": {}, "small": {"ratio": 100, "activation": "tanh"}, "memory": {"ratio": 28.6, "memory": 16}}
    path = written(tmp_path, methods=methods, seeds=[1])
    found = [unit for unit in units(load_suite(path), path) if unit.task == "spread"]
    given, small, memory = (unit.experiment.distill.students["agent"] for unit in found)
    assert (given.hidden, given.activation, given.memory) == ((40, 36), "relu", 0)
    assert (small.hidden, small.activation, small.memory) == ((17, 17), "tanh", 0)
    assert (memory.hidden, memory.activation, memory.memory) == ((24,), "relu", 16)
    # 18·24 + 3·(24 + 16)·16 + 16·5 = 2,432 of 71,424 / 28.6 = 2,497; 66 more for each that is wider


def test_figures_do_not_depend_on_what_is_not_used(tmp_path):
    keys = []
    for decay in (0.0, 0.5):
        methods = {
            "plain": {"set": {"distill.polish.rounds": 0, "distill.polish.decay": decay}},
            "polished": {"set": {"distill.polish.decay": decay}},
        }
        path = written(tmp_path, methods=methods)
        keys.append({unit.name: key(unit.depends_on) for unit in units(load_suite(path), path)})
    one, two = keys
    assert one["spread/plain/1"] == two["spread/plain/1"]
    assert one["spread/polished/1"] != two["spread/polished/1"]


def test_a_method_may_be_for_some_tasks_only(tmp_path):
    path = written(tmp_path, methods={"plain": {}, "more": {"tasks": ["navigation"]}}, seeds=[1])
    names = [unit.name for unit in units(load_suite(path), path)]
    assert names == ["spread/plain/1", "navigation/plain/1", "navigation/more/1"]


def test_a_method_may_be_for_some_seeds_only(tmp_path):
    path = written(tmp_path, methods={"plain": {}, "more": {"tasks": ["spread"], "seeds": [2]}}, seeds=[1, 2])
    names = [unit.name for unit in units(load_suite(path), path) if unit.task == "spread"]
    assert names == ["spread/plain/1", "spread/plain/2", "spread/more/2"]


def test_a_method_may_be_for_some_seeds_of_each_task(tmp_path):
    methods = {"plain": {}, "more": {"seeds": {"spread": [2]}}}
    path = written(tmp_path, methods=methods, seeds=[1, 2])
    names = [unit.name for unit in units(load_suite(path), path) if unit.method == "more"]
    assert names == ["navigation/more/1", "spread/more/2", "navigation/more/2"]


def test_a_task_may_have_fewer_seeds_but_not_for_the_first_method_nor_one_that_names_its_own(tmp_path):
    tasks = {"spread": {"config": str(REPOSITORY / "config" / "mpe_spread.yaml"), "seeds": [2]}}
    path = written(tmp_path, tasks=tasks, methods={"plain": {}, "more": {}, "most": {"seeds": [1, 2]}}, seeds=[1, 2])
    names = [unit.name for unit in units(load_suite(path), path)]
    assert names == [f"spread/{name}" for name in ("plain/1", "most/1", "plain/2", "more/2", "most/2")]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": [1, 1]}, "give each once"),
        ({"methods": {}}, "methods is empty"),
        ({"methods": {"a": {"set": {"distill.losss": 1}}}}, "spread/a: .*losss.*did you mean 'loss'"),
        (
            {"methods": {"a": {"stage": "scratch", "set": {"distill.students.agent.memory": 8}}}},
            "a: stage is scratch, and only distillation trains memory; set it to 0",
        ),
        ({"methods": {"a": {"memory": 8, "set": {"distill.quantization": "int8"}}}}, "agent has memory and stays in"),
        ({"methods": {"a": {"ratio": 1e6}}}, r"no student of 'agent' has 0 MACs; lower it"),
        ({"methods": {"a": {}, "b": {"tasks": ["spred"]}}}, "methods.b.tasks names 'spred'; did you mean 'spread'"),
        ({"methods": {"a": {"tasks": ["spread"]}}}, "methods.a has tasks, and the others are compared with it"),
        ({"methods": {"a": {}, "b": {"seeds": [9]}}}, r"methods.b.seeds names 9; take some of seeds, \[1, 2\]"),
        ({"methods": {"a": {}, "b": {"seeds": {"spread": [9]}}}}, r"methods.b.seeds names 9; take some of seeds"),
        ({"methods": {"a": {}, "b": {"seeds": {"spred": [1]}}}}, "methods.b.seeds names 'spred'; did you mean"),
        ({"tasks": {"spread": {"config": "mpe_spread.yaml", "seeds": [9]}}}, r"tasks.spread.seeds names 9; take some"),
        ({"methods": {"a": {"set": {"expert.envs": 4}}}}, r"methods.a.set gives expert.envs, and methods share tasks"),
        ({"methods": {"a": {"set": {"task.max_steps": 4}}}}, r"methods.a.set gives task.max_steps, and methods share"),
        ({"set": {"evaluate.episodes": 4}}, r"set gives evaluate.episodes; a benchmark has seeds and episodes"),
        ({"tasks": {"spread": {"config": "mpe_spread.yaml", "set": {"seed": 4}}}}, r"tasks.spread.set gives seed; a"),
        ({"seeds": [900_000_000]}, "evaluate.seed is 900000000, which training sees"),
        ({"methods": {"a": {"set": {"distill.students": {}}}}}, "students: has no network for robot type 'agent'"),
        ({"methods": {"a": {"ratio": 9, "set": {"distill.students": {}}}}}, "has no network for robot type 'agent'"),
        ({"set": {"expert.envs": date(2026, 1, 1)}}, "expert.envs"),
        ({"methods": {"a": {"lead": 0.0}}}, "methods.a has lead, and the others are compared with it; remove the key"),
        ({"methods": {"a": {"seeds": [1]}}}, "methods.a has seeds, and the others are compared with it"),
    ],
)
def test_bad_suites(tmp_path, changes, message):
    path = written(tmp_path, **changes)
    with pytest.raises(KdmarlError, match=message):
        units(load_suite(path), path)


def test_unknown_units():
    with pytest.raises(KdmarlError, match=r"--only spred/\*/1: fits no unit of"):
        select(units(load_suite(SMOKE), SMOKE), ["spred/*/1"], SMOKE)


@pytest.mark.timeout(300)
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
    book = json.loads(results.read_text())
    assert {(row["task"], row["method"]) for row in book["rows"]} == {
        (task, method) for task in ("spread", "navigation") for method in ("kdmarl", "tiny", "scratch")
    }
    assert all(row["seeds"] == [1, 2] for row in book["rows"])
    assert {each["method"] for each in book["against"]} == {"tiny", "scratch"}
    assert list(book["still"]) == ["navigation"]
    assert {row["still_return"] for row in book["rows"] if row["task"] == "navigation"} == {0.0}

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


def test_a_report_of_what_is_there_yet(tmp_path):
    units_done = [result("spread", "kdmarl"), result("spread", "scratch"), result("navigation", "kdmarl")]
    book = ledger.Ledger(title="Half done", units=units_done)
    notes = {"methods": dict.fromkeys(["kdmarl", "never", "scratch"], "words"), "tasks": {"spread": "a", "other": "b"}}
    ledger.save(ledger.aggregated(book, notes, "", names(units_done), names(units_done)), tmp_path / "half.json")
    app(["report", str(tmp_path / "half.json")], standalone_mode=False)
    page = (tmp_path / "half.md").read_text()
    assert "| navigation | 0.500 |  |" in page
    assert "| `scratch` | 1 | 1 | 0.500 | 0.500 | +0.000 | spread |" in page
    assert "never" not in page
    assert "- `other`" not in page


def test_tables_of_a_report_stand_where_a_readme_names_them(tmp_path):
    units_done = [result("spread", "kdmarl"), result("spread", "scratch")]
    book = ledger.Ledger(title="One task", units=units_done)
    notes = {"methods": dict.fromkeys(["kdmarl", "scratch"], ""), "tasks": {"spread": ""}}
    ledger.save(ledger.aggregated(book, notes, "", names(units_done), names(units_done)), tmp_path / "one.json")
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
        ("<!-- begin from one.json: agianst -->", "names no table; did you mean 'one.json: against'"),
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
    def kept(task, method, *values):
        return [
            msgspec.structs.replace(result(task, method), seed=seed, students={"return": [value]})
            for seed, value in enumerate(values)
        ]

    done = [
        *kept("spread", "kdmarl", *4 * [0.97]), *kept("tag", "kdmarl", 0.94, 0.96, 0.97, 0.98),
        *kept("reference", "kdmarl", 0.9), *kept("coverage", "kdmarl", 0.98, 1.0),
        *kept("spread", "small", 0.99),
    ]  # fmt: skip
    bars = {"kdmarl": ledger.Bar(retention=0.95, macs_ratio=28.6), "small": ledger.Bar(retention=0.9, macs_ratio=100)}
    notes = {"methods": dict.fromkeys(["kdmarl", "small"], ""), "tasks": {}}
    book = ledger.Ledger(title="", bars=bars, units=done)
    book = ledger.aggregated(book, notes, "", names(done), names(done))
    ledger.save(book, tmp_path / "some.json")
    app(["report", str(tmp_path / "some.json")], standalone_mode=False)
    page = (tmp_path / "some.md").read_text()
    assert (
        "| `kdmarl` | 0.95 at 28.6x | spread (0.970 at 30.0x) | tag (0.965 [0.940, 0.980] at 30.0x) | "
        "coverage (0.990 [0.980, 1.000] at 30.0x) | reference (0.900 at 30.0x) |"
    ) in page
    assert "| `small` | 0.90 at 100x | none | none | none | spread (0.990 at 30.0x) |" in page


@pytest.mark.parametrize(
    ("others", "told"),
    [
        ([0.5, 0.6], "+0.300 [+0.200, +0.400] | +0.10: held |"),
        ([0.5, 0.9], "+0.150 [-0.100, +0.400] | +0.10: held, not surely |"),
        ([1.0, 0.85], "-0.075 [-0.100, -0.050] | +0.10: missed | spread |"),
    ],
)
def test_how_far_ahead_the_first_method_is_held_to_be(tmp_path, others, told):
    def kept(method, scores):
        return [
            msgspec.structs.replace(result("spread", method), seed=seed, students={"return": [score]})
            for seed, score in enumerate(scores)
        ]

    done = [*kept("kdmarl", [0.9, 0.8]), *kept("other", others)]
    notes = {"methods": dict.fromkeys(["kdmarl", "other"], ""), "tasks": {}}
    book = ledger.Ledger(title="", leads={"other": 0.1}, units=done)
    ledger.save(ledger.aggregated(book, notes, "", names(done), names(done)), tmp_path / "some.json")
    app(["report", str(tmp_path / "some.json")], standalone_mode=False)
    page = (tmp_path / "some.md").read_text()
    assert "| difference | bar | `kdmarl` no better on |" in page
    assert told in page


@pytest.mark.parametrize(("kept", "line"), [(0.96, "| spread |  | `direct` | 1 |"), (0.5, "| spread | none; best: |")])
def test_the_smallest_network_from_scratch(tmp_path, kept, line):
    expert_sized = result("spread", "direct")
    expert_sized = msgspec.structs.replace(expert_sized, students={"return": [kept]})
    done = [result("spread", "kdmarl"), expert_sized, result("spread", "scratch")]
    notes = {"methods": dict.fromkeys(["kdmarl", "direct", "scratch"], ""), "tasks": {}}
    notes["stages"] = {"kdmarl": "distill", "direct": "direct", "scratch": "scratch"}
    book = ledger.aggregated(ledger.Ledger(title="", units=done), notes, "", names(done), names(done))
    ledger.save(book, tmp_path / "some.json")
    app(["report", str(tmp_path / "some.json")], standalone_mode=False)
    assert line in (tmp_path / "some.md").read_text()


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


def test_one_unit_that_fails_is_told_and_the_others_are_done(tmp_path, monkeypatch, capsys):
    results, places = tmp_path / "smoke.json", ["--output", tmp_path / "smoke.json", "--runs", tmp_path / "runs"]

    def measure(unit, sha256, *_):
        if unit.name == "spread/tiny/1":
            raise KdmarlError("the loss is not finite")
        return msgspec.structs.replace(result(unit.task, unit.method), seed=unit.seed, sha256=sha256)

    monkeypatch.setattr(module, "_measure", measure)
    with pytest.raises(KdmarlError, match="1 of 12 units have failed: spread/tiny/1; see above"):
        run(SMOKE, *places)
    assert "spread/tiny/1: failed: the loss is not finite" in capsys.readouterr().out
    book = ledger.load(results)
    assert len(book.units) == 11
    assert [row["seeds"] for row in book.rows if (row["task"], row["method"]) == ("spread", "tiny")] == [[2]]


def test_results_of_another_benchmark_stay_as_they_are(tmp_path):
    results = tmp_path / "other.json"
    ledger.save(ledger.Ledger(title="Other"), results)
    before = results.read_bytes()
    with pytest.raises(KdmarlError, match="holds results of 'Other', and the title of .* is 'Smoke test'; give"):
        run(SMOKE, "--output", results, "--runs", tmp_path / "runs")
    assert results.read_bytes() == before


def test_a_unit_without_retention_is_told_and_left_out(tmp_path, monkeypatch, capsys):
    def measure(unit, sha256, *_):
        made = msgspec.structs.replace(result(unit.task, unit.method), seed=unit.seed, sha256=sha256)
        return msgspec.structs.replace(made, random={"return": [1.0]}) if unit.name == "spread/tiny/1" else made

    monkeypatch.setattr(module, "_measure", measure)
    run(SMOKE, "--output", tmp_path / "smoke.json", "--runs", tmp_path / "runs", "--only", "spread/tiny/*")
    assert "spread/tiny/1: left out, since its expert returns 1.000, no more than random" in capsys.readouterr().out
    assert [row["seeds"] for row in ledger.load(tmp_path / "smoke.json").rows] == [[2]]


def result(task, method):
    values = {"students": 0.5, "expert": 1.0, "random": 0.0}
    return ledger.Row(
        task=task, method=method, seed=1, sha256="", commit="", command="", episodes=1, types={"agent": [0]},
        costs={"agent": ledger.Cost(macs=1, expert_macs=30, parameters=1, bytes=4)}, env_steps={},
        seconds={"policies": 1.0}, **{who: {"return": [value]} for who, value in values.items()},
    )  # fmt: skip


def names(units_done):
    return {unit.name: "" for unit in units_done}


def test_units_of_another_expert_are_left_out_and_done_again(tmp_path, monkeypatch, capsys):
    """An expert trained anew is another, though nothing that the units depend on has changed."""
    results, places = tmp_path / "smoke.json", ["--output", tmp_path / "smoke.json", "--runs", tmp_path / "runs"]

    def measure(unit, sha256, *_):
        seconds = dict.fromkeys(("expert", "policies", "measuring"), 1.0)
        made = result(unit.task, unit.method)
        return msgspec.structs.replace(made, seed=unit.seed, sha256=sha256, seconds=seconds)

    monkeypatch.setattr(module, "_measure", measure)
    run(SMOKE, *places)
    book = ledger.load(results)
    first = next(unit for unit in book.units if unit.name == "spread/kdmarl/1")
    ledger.save(book.add(msgspec.structs.replace(first, expert={"return": [2.0]})), results)  # the newest
    capsys.readouterr()
    run(SMOKE, *places, "--dry-run")
    out = capsys.readouterr().out
    assert "2 of 12 units to do" in out
    assert (
        "spread/scratch/1: left out, since its expert and random commands return 1.000 and 0.000, those of the newer "
        "spread/kdmarl/1 2.000 and 0.000; kdmarl benchmark measures it again"
    ) in out

    run(SMOKE, *places, "--only", "navigation/*")
    rows = {(row["task"], row["method"]): row["seeds"] for row in ledger.load(results).rows}
    assert rows["spread", "kdmarl"] == [1, 2]
    assert rows["spread", "scratch"] == [2]
    monkeypatch.setattr(module, "_measure", lambda *of: msgspec.structs.replace(measure(*of), expert={"return": [2.0]}))
    run(SMOKE, *places, "--only", "spread/*")
    rows = {(row["task"], row["method"]): row["seeds"] for row in ledger.load(results).rows}
    assert rows["spread", "scratch"] == [1, 2]


def test_pages_say_what_one_seed_and_a_mean_are(tmp_path):
    done = [result("spread", "kdmarl")]
    for seeds, told in (([1], "there is one seed, which has no interval"), ([1, 2], "where there are fewer than four")):
        done = [msgspec.structs.replace(done[0], seed=seed) for seed in seeds]
        notes = {"methods": {"kdmarl": ""}, "tasks": {}}
        book = ledger.aggregated(ledger.Ledger(title="", units=done), notes, "", names(done), names(done))
        ledger.save(book, tmp_path / "some.json")
        app(["report", str(tmp_path / "some.json")], standalone_mode=False)
        assert told in (tmp_path / "some.md").read_text()


def test_a_report_needs_results_and_marks(tmp_path):
    with pytest.raises(KdmarlError, match="none.json: no such file; kdmarl benchmark makes it"):
        app(["report", str(tmp_path / "none.json")], standalone_mode=False)
    ledger.save(ledger.Ledger(title=""), tmp_path / "none.json")
    with pytest.raises(KdmarlError, match="holds no results yet"):
        app(["report", str(tmp_path / "none.json")], standalone_mode=False)
    spoiled = ledger.Ledger(title="", notes={"methods": {"a": ""}}, rows=[{"method": "a", "student": "team"}])
    ledger.save(spoiled, tmp_path / "none.json")
    with pytest.raises(KdmarlError, match="a row lacks '.*'; kdmarl benchmark makes its rows anew"):
        app(["report", str(tmp_path / "none.json")], standalone_mode=False)
