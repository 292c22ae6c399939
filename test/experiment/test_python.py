"""An experiment made, trained, distilled, exported and measured from Python, without a file."""

import msgspec
import pytest

from kdmarl_core.contract import KdmarlError
from kdmarl_core.distill.distill import DistillConfig
from kdmarl_core.distill.polish import PolishConfig
from kdmarl_core.envs.particle.task import ParticleTask
from kdmarl_core.envs.task import TaskConfig
from kdmarl_core.experiment import EvaluateConfig, Experiment, distill, evaluate, export, train
from kdmarl_core.expert.networks import NetworkConfig
from kdmarl_core.expert.train import ExpertConfig, load_expert
from toy import Echo

SMALL = NetworkConfig(hidden=(8,))


@pytest.fixture
def experiment(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Experiment(
        task=ParticleTask(scenario="simple_spread", max_steps=6),
        expert=ExpertConfig(envs=4, steps=6, iterations=1, actor=SMALL, critic=SMALL),
        distill=DistillConfig(
            students={"agent": SMALL}, envs=4, rounds=1, steps=3, updates=2, final_updates=2,
            polish=PolishConfig(rounds=1, steps=3),
        ),
        evaluate=EvaluateConfig(episodes=2, envs=2),
    )  # fmt: skip


def test_the_whole_way(experiment, tmp_path):
    expert = train(experiment)
    students = distill(experiment)
    files = export(experiment, tmp_path / "models")
    assert (tmp_path / "runs/experiment/expert/config.yaml").is_file()
    assert files["agent"].path == tmp_path / "models/simple_spread_agent.onnx"
    assert files["agent"].difference == 0
    found = evaluate(experiment, tmp_path / "models")
    assert set(found.figures) == {"expert", "students", "random"}
    assert found.macs["expert"]["agent"] == expert.macs("agent") == students.macs("agent")
    assert found.others == []


class EchoTask(TaskConfig, frozen=True, kw_only=True):
    """An environment that kdmarl does not know."""

    def types(self, folder):
        return ("wheeled", "chooser")

    def env(self, folder, num_envs, swarm=None):
        return Echo(num_envs)


def follow(seen):
    """Both types are shown what to do."""
    return {"wheeled": seen["wheeled"], "chooser": seen["chooser"].argmax(-1)}


def test_your_own_environment_and_expert(experiment, tmp_path):
    """Without a file, and without training anything but students."""
    students = msgspec.structs.replace(
        experiment.distill, students={"wheeled": SMALL, "chooser": SMALL}, polish=PolishConfig(rounds=0)
    )
    mine = experiment.replace(task=EchoTask(), distill=students)
    distill(mine, expert=follow)
    export(mine, tmp_path / "models")
    found = evaluate(mine, tmp_path / "models", expert=follow)
    assert set(found.figures) == {"expert", "students", "random"}
    means = {team: figure["return"].mean() for team, figure in found.figures.items()}
    assert means["students"] < means["expert"] == pytest.approx(5.0)
    assert found.macs["expert"] == {"wheeled": None, "chooser": None}
    with pytest.raises(KdmarlError, match="train first"):
        evaluate(mine, tmp_path / "models")


def test_an_experts_students_are_the_same_from_memory_and_from_its_file(experiment, tmp_path):
    train(experiment)
    expert, critics = load_expert(
        experiment.expert, experiment.env(1), tmp_path / "runs/experiment/expert", 1, experiment.facts("expert")
    )
    there, here = distill(experiment), distill(experiment, tmp_path / "other", expert, critics)
    for name, value in there.state_dict().items():
        assert (here.state_dict()[name] == value).all(), name


def test_a_changed_experiment_is_checked(experiment):
    assert experiment.replace(seed=3).seed == 3
    with pytest.raises(KdmarlError, match="evaluate.seed is 3, which training uses"):
        experiment.replace(seed=3, evaluate=EvaluateConfig(seed=3))
    with pytest.raises(ValueError, match="unknown robot type 'agnet'; did you mean 'agent'"):
        Experiment(task=experiment.task, distill=DistillConfig(students={"agnet": SMALL}))
