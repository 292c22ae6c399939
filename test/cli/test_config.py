"""Experiment files and overrides: unknown keys are refused with the nearest known one."""

from pathlib import Path

import pytest

from kdmarl_core.cli.config import load_experiment, make_env
from kdmarl_core.contract import KdmarlError
from support import REPOSITORY

CONFIG = REPOSITORY / "config/navigation.yaml"


def test_the_shipped_file_loads_and_builds_its_environment():
    experiment = load_experiment(CONFIG, [])
    env = make_env(experiment, CONFIG, 2)
    assert [group.name for group in env.groups] == ["scout", "carrier", "mini"]
    assert set(experiment.distill.students) == {"scout", "carrier", "mini"}


def test_overrides_change_values_and_the_hash():
    plain = load_experiment(CONFIG, [])
    changed = load_experiment(CONFIG, ["expert.ppo.gamma=0.98", "task.reward.collision=-7", "evaluate.episodes=10"])
    assert changed.expert.ppo.gamma == 0.98
    assert changed.task.reward.collision == -7
    assert changed.evaluate.episodes == 10
    assert plain.sha256 != changed.sha256
    assert plain.sha256 == load_experiment(CONFIG, []).sha256


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("expert.ppo.gama=0.9", r"\$\.expert\.ppo: unknown key 'gama'; did you mean 'gamma'"),
        ("expert.ppo.gamma=high", r"\$\.expert\.ppo\.gamma: expected `float`, got `str`"),
        ("expert.ppo.gamma=1.5", r"\$\.expert\.ppo\.gamma: expected `float` <= 1"),
        ("expert.ppo.gamma", "give it as key.key=value"),
        ("=1", "give it as key.key=value"),
        ("task.kind.x=1", "task.kind is a value and has no keys"),
        ("task.kind=chess", r"\$\.task"),
        ("seed=[", "not a YAML value"),
        ("expert.policy=central", "invalid enum value 'central'"),
        ("expert={policy: centralized, actor: {hidden: []}}", r"\$\.expert: actor.hidden is \[\]; a centralized"),
        ("expert={policy: centralized, actor: {hidden: [64, 18]}}", r"hidden is \[64, 18\]; .* 4 attention heads"),
        ("distill.loss={kl: 0, action: 0}", r"\$\.distill\.loss: kl and action are both 0"),
        ("distill.students.scuot={}", "distill.students: unknown robot type 'scuot'; did you mean 'scout'?"),
        ("expert.actors.scuot={}", "expert.actors: unknown robot type 'scuot'; did you mean 'scout'?"),
        (
            "expert={policy: centralized, actors: {scout: {}}}",
            "actors are given, but a centralized policy is one network",
        ),
        ("expert={policy: shared, actors: {scout: {}}}", "actors are given, but a shared policy is one network"),
        ("distill.students.zeppelin={}", "distill.students: unknown robot type 'zeppelin'; remove it"),
    ],
)
def test_wrong_overrides_are_told_in_one_sentence(override, message):
    with pytest.raises(KdmarlError, match=message) as caught:
        load_experiment(CONFIG, [override])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "override",
    [
        "expert={policy: centralized, actor: {hidden: [20]}}",
        "expert={policy: decentralized, actor: {hidden: []}}",
        "distill.loss={kl: 0}",
        "distill.loss={action: 0}",
        "task.team={scout: 4}",
    ],
)
def test_what_is_near_to_wrong_is_accepted(override):
    load_experiment(CONFIG, [override])


def test_seed_as_a_value_may_be_overridden_in_a_file_without_it(tmp_path: Path):
    text = CONFIG.read_text()
    (tmp_path / "mine.yaml").write_text(text)
    assert load_experiment(tmp_path / "mine.yaml", ["seed=5"]).seed == 5
