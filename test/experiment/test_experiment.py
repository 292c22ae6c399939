"""Experiment files and overrides: unknown keys are refused with the nearest known one."""

from pathlib import Path

import pytest

from kdmarl_core.contract import KdmarlError
from kdmarl_core.experiment.experiment import Experiment
from kdmarl_core.expert.fingerprint import differences, encode
from support import REPOSITORY

CONFIG = REPOSITORY / "config/navigation.yaml"


def test_the_shipped_file_loads_and_builds_its_environment():
    experiment = Experiment.load(CONFIG)
    env = experiment.env(2)
    assert [group.name for group in env.groups] == ["scout", "carrier", "mini"]
    assert set(experiment.distill.students) == {"scout", "carrier", "mini"}


def test_overrides_change_values_and_the_hash():
    plain = Experiment.load(CONFIG)
    changed = Experiment.load(CONFIG, ["expert.ppo.gamma=0.98", "task.reward.collision=-7", "evaluate.episodes=10"])
    assert changed.expert.ppo.gamma == 0.98
    assert changed.task.reward.collision == -7
    assert changed.evaluate.episodes == 10
    assert plain.sha256 != changed.sha256
    assert plain.sha256 == Experiment.load(CONFIG).sha256


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
        ("evaluate.seed=1", "evaluate.seed is 1, which training uses; give another"),
        ("expert.policy=central", "'central'; give one of decentralized, shared, centralized; did you mean 'ce"),
        ("expert={policy: centralized, actor: {hidden: []}}", r"\$\.expert: actor.hidden is \[\]; a centralized"),
        ("expert={policy: centralized, actor: {hidden: [64, 18]}}", r"hidden is \[64, 18\]; .* 4 attention heads"),
        ("distill.loss={kl: 0, action: 0}", r"\$\.distill\.loss: kl and action are both 0"),
        ("distill.students.scuot={}", "distill.students: unknown robot type 'scuot'; did you mean 'scout'?"),
        ("expert={actors: {scuot: {}}}", "expert.actors: unknown robot type 'scuot'; did you mean 'scout'?"),
        (
            "expert={policy: centralized, actors: {scout: {}}}",
            "actors are given, but a centralized policy is a single network",
        ),
        ("expert={policy: shared, actors: {scout: {}}}", "actors are given, but a shared policy is a single network"),
        ("expert={envs: 1, steps: 1}", "envs and steps are 1, .* raise one of them"),
        ("distill={envs: 1, polish: {steps: 1}, students: {}}", "envs and polish.steps are 1, .* raise one of them"),
        ("expert={actors: {scout: {memory: 8}}, policy: decentralized}", "memory is for students only"),
        (
            "distill={students: {scout: {memory: 8}}, capacity: 1000}",
            r"\$\.distill: capacity is 1000, less than segments of 20 steps in each of 64 envs; raise it",
        ),
        (
            "distill={students: {scout: {}, mini: {memory: 8}}, quantization: int8}",
            r"\$\.distill: quantization is int8, but students.mini has memory and stays in float32; set its",
        ),
        ("distill.students.zeppelin={}", "distill.students: unknown robot type 'zeppelin'; remove it"),
    ],
)
def test_wrong_overrides_are_refused_in_one_sentence(override, message):
    with pytest.raises(KdmarlError, match=message) as caught:
        Experiment.load(CONFIG, [override])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "override",
    [
        "expert={policy: centralized, actor: {hidden: [20]}}",
        "expert={policy: decentralized, actor: {hidden: []}}",
        "distill.loss={kl: 0, action: 1}",
        "distill.loss={action: 0}",
        "task.team={scout: 4}",
    ],
)
def test_what_is_near_to_wrong_is_accepted(override):
    Experiment.load(CONFIG, [override])


@pytest.mark.parametrize(
    ("override", "views", "same"),
    [
        ("task.goal_tolerance=0.5", ["expert"], False),
        ("task.reward.collision=-7", ["expert"], False),
        ("task.observations.student.mini=[{term: goal, range: 5.0}]", ["expert"], True),
        ("task.observations.student.mini=[{term: goal, range: 5.0}]", ["student"], False),
        ("task.observations.student.mini=[{term: goal, range: 5.0}]", ["expert", "student"], False),
        ("task.observations.expert.mini=[{term: goal, range: 5.0}]", ["expert"], False),
        ("task.observations.expert.mini=[{term: goal, range: 5.0}]", ["student"], True),
        ("expert.ppo.gamma=0.9", ["expert", "student"], True),
        ("evaluate.seed=2", ["expert", "student"], True),
    ],
)
def test_a_run_depends_on_its_task_as_it_sees_it(override, views, same):
    plain, changed = (Experiment.load(CONFIG, each).facts(*views) for each in ([], [override]))
    assert (differences(encode(plain), changed) == "") == same


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (("", "# more\n"), ""),
        (("radius: 0.30", "radius: 0.31"), "task.robot_types.carrier.radius = 0.3 (now 0.31)"),
        (("range: 3.5}", "range: 3.6}"), "task.robot_types.scout.sensors.lidar.range = 3.5 (now 3.6)"),
        (("[-0.3, 0.6]", "[-0.3, 0.7]"), "task.robot_types.mini.action.linear = [-0.3, 0.6] (now [-0.3, 0.7])"),
        (("macs: 2000", "macs: 1000"), ""),
        (("", "unused: {radius: 1, sensors: {}, action: {kind: diff_drive, linear: [0, 1], angular: [-1, 1], "
          "linear_acceleration: 1, angular_acceleration: 1}}\n"), ""),
    ],
)  # fmt: skip
def test_a_run_depends_on_what_the_robot_types_are_and_not_on_where(tmp_path, edit, expected):
    text = (CONFIG.parent / "robots.yaml").read_text()
    (tmp_path / "others.yaml").write_text(text.replace(*edit, 1))
    (tmp_path / "mine.yaml").write_text(CONFIG.read_text().replace("robots.yaml", "others.yaml"))
    before, now = ({"task": Experiment.load(path).facts("expert")} for path in (CONFIG, tmp_path / "mine.yaml"))
    assert differences(encode(before), now) == expected


def test_seed_as_a_value_may_be_overridden_in_a_file_without_it(tmp_path: Path):
    text = CONFIG.read_text()
    (tmp_path / "mine.yaml").write_text(text)
    assert Experiment.load(tmp_path / "mine.yaml", ["seed=5"]).seed == 5


BROUGHT = """
from kdmarl_core.envs.particle.task import ParticleTask
from kdmarl_core.envs.task import TaskConfig

class Lazy(ParticleTask, frozen=True, kw_only=True):
    def env(self, folder, num_envs, swarm=None):
        return 3

    evaluation_env = TaskConfig.evaluation_env

class Careless(ParticleTask, frozen=True, kw_only=True):
    def evaluation_env(self, folder, num_envs, swarm=None):
        return None
"""


@pytest.mark.parametrize(
    ("kind", "wrong", "method", "given"),
    [
        ("Lazy", ["env", "evaluation_env"], "env", "an int"),
        ("Careless", ["evaluation_env"], "evaluation_env", "a NoneType"),
    ],
)
def test_a_task_that_makes_something_else_is_named(tmp_path, kind, wrong, method, given):
    (tmp_path / "lazy_tasks.py").write_text(BROUGHT)
    (tmp_path / "mine.yaml").write_text(
        f"task: {{kind: 'lazy_tasks:{kind}', scenario: simple_spread}}\ndistill: {{students: {{}}}}\n"
    )
    experiment = Experiment.load(tmp_path / "mine.yaml")
    sentence = f"^task.kind: lazy_tasks:{kind}: its {method} gives {given}; return a kdmarl_core.envs.base.BatchedEnv"
    for each in ("env", "evaluation_env"):
        if each in wrong:
            with pytest.raises(KdmarlError, match=sentence):
                getattr(experiment, each)(2)
        else:
            assert getattr(experiment, each)(2).groups
