"""Benchmark files: the shipped ones fit, and what tasks, methods and seeds of one make."""

from datetime import date

import pytest
import yaml

from benchmark_support import SMOKE
from kdmarl_core.benchmark import ledger
from kdmarl_core.benchmark.suite import key, load_suite, select, units
from kdmarl_core.contract import KdmarlError
from support import REPOSITORY

FILES = sorted((REPOSITORY / "config/benchmarks").glob("*.yaml"))


def written(tmp_path, **changes):
    data = yaml.safe_load(SMOKE.read_text())
    data["tasks"] = {name: task | {"config": str(REPOSITORY / "config" / task["config"][3:])}
                     for name, task in data["tasks"].items()}  # fmt: skip
    path = tmp_path / "suite.yaml"
    path.write_text(yaml.safe_dump(data | changes, sort_keys=False))
    return path


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_shipped_files_fit(path):
    """And what their committed figures depend on has the hashes that stand with them."""
    keys = {unit.name: key(unit.depends_on) for unit in units(load_suite(path), path)}
    assert keys
    results = REPOSITORY / f"docs/results/{path.stem}.json"
    if results.exists():
        committed = ledger.load(results)
        counting = {(row["task"], row["method"], seed) for row in committed.team_rows for seed in row["seeds"]}
        kept = {unit.name: unit.sha256 for unit in committed.units if (unit.task, unit.method, unit.seed) in counting}
        assert len(kept) == len(counting) == committed.planned
        assert kept.items() <= keys.items()


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
            "a: stage is scratch, but only distillation trains memory; set it to 0",
        ),
        ({"methods": {"a": {"memory": 8, "set": {"distill.quantization": "int8"}}}}, "agent has memory and stays in"),
        ({"methods": {"a": {"ratio": 1e6}}}, r"no student of 'agent' has 0 MACs; lower it"),
        ({"methods": {"a": {}, "b": {"tasks": ["spred"]}}}, "methods.b.tasks names 'spred'; did you mean 'spread'"),
        ({"methods": {"a": {"tasks": ["spread"]}}}, "methods.a has tasks, but the others are compared with it"),
        ({"methods": {"a": {}, "b": {"seeds": [9]}}}, r"methods.b.seeds names 9; take some of seeds, \[1, 2\]"),
        ({"methods": {"a": {}, "b": {"seeds": {"spread": [9]}}}}, r"methods.b.seeds names 9; take some of seeds"),
        ({"methods": {"a": {}, "b": {"seeds": {"spred": [1]}}}}, "methods.b.seeds names 'spred'; did you mean"),
        ({"tasks": {"spread": {"config": "mpe_spread.yaml", "seeds": [9]}}}, r"tasks.spread.seeds names 9; take some"),
        ({"methods": {"a": {"set": {"expert.envs": 4}}}}, r"methods.a.set has expert.envs, but methods share tasks"),
        ({"methods": {"a": {"set": {"task.max_steps": 4}}}}, r"methods.a.set has task.max_steps, but methods share"),
        ({"set": {"evaluate.episodes": 4}}, r"set sets evaluate.episodes; seeds and episodes are keys"),
        (
            {"tasks": {"spread": {"config": "mpe_spread.yaml", "set": {"seed": 4}}}},
            r"tasks.spread.set sets seed; ",
        ),
        ({"seeds": [900_000_000]}, "evaluate.seed is 900000000, which training uses"),
        ({"methods": {"a": {"set": {"distill.students": {}}}}}, "students: has no network for robot type 'agent'"),
        ({"methods": {"a": {"ratio": 9, "set": {"distill.students": {}}}}}, "has no network for robot type 'agent'"),
        ({"set": {"expert.envs": date(2026, 1, 1)}}, "expert.envs"),
        ({"methods": {"a": {"lead": 0.0}}}, "methods.a has lead, but the others are compared with it; remove the key"),
        ({"methods": {"a": {"seeds": [1]}}}, "methods.a has seeds, but the others are compared with it"),
    ],
)
def test_bad_suites(tmp_path, changes, message):
    path = written(tmp_path, **changes)
    with pytest.raises(KdmarlError, match=message):
        units(load_suite(path), path)


def test_unknown_units():
    with pytest.raises(KdmarlError, match=r"--only spred/\*/1: matches no unit of"):
        select(units(load_suite(SMOKE), SMOKE), ["spred/*/1"], SMOKE)
