"""Experts from elsewhere: whatever acts becomes a distribution for each agent."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from foreign_experts import CONFIG, Stable, keys, load
from kdmarl_core.contract import KdmarlError
from kdmarl_core.envs.base import EXPERT
from kdmarl_core.expert.distributions import Categorical, SquashedGaussian
from kdmarl_core.expert.foreign import ForeignConfig, given, load_foreign, wrap
from kdmarl_core.expert.networks import NetworkConfig
from kdmarl_core.expert.policies import greedy, make_policy, observe
from kdmarl_core.expert.train import ExpertConfig
from support import write_linear as graph
from toy import DRIVE, Doors, Echo

MODULE = """
import numpy as np
import torch

from kdmarl_core.contract import Discrete

calls = 0

def mirror(observation, gain=1.0):
    return {"wheeled": gain * observation["wheeled"], "chooser": observation["chooser"].argmax(-1)}

class Mirror:
    def __init__(self, groups, gain=1.0):
        self.numbered = {group.name: isinstance(group.action, Discrete) for group in groups}
        self.gain = gain

    def __call__(self, observation):
        return {
            name: seen.argmax(-1)[..., None] if self.numbered[name] else self.gain * seen
            for name, seen in observation.items()
        }

def identity(path=None):
    return torch.nn.Identity()

ready = torch.nn.Identity()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("brought")
    (folder / "brought_experts.py").write_text(MODULE)
    return folder


def expects(env, expert, gain=1.0):
    """The greedy commands are what was shown, to within the limits."""
    commands = greedy(expert)(env)
    np.testing.assert_allclose(commands["wheeled"], np.clip(gain * env.wanted, DRIVE.low, DRIVE.high), atol=0.011)
    np.testing.assert_array_equal(commands["chooser"], env.index[..., None])


@pytest.mark.parametrize(
    ("source", "arguments", "gain"),
    [
        ("mirror", {}, 1.0),
        ("mirror", {"gain": -2.0}, -2.0),
        ("Mirror", {}, 1.0),
        ("Mirror", {"gain": 0.5}, 0.5),
        ("identity", {}, 1.0),
        ("ready", {}, 1.0),
    ],
)
def test_functions_classes_factories_and_objects(folder, source, arguments, gain):
    env = Echo(5)
    expert = load(folder, env, **{"from": f"brought_experts:{source}", "arguments": arguments})
    expects(env, expert, gain)


def test_a_file_among_the_arguments_is_found_next_to_the_experiment(folder):
    (folder / "weights.bin").write_bytes(b"1")
    config = keys(**{"from": "brought_experts:identity", "arguments": {"path": "weights.bin"}})
    assert config._resolved(folder) == {"path": str((folder / "weights.bin").resolve())}
    before = config.facts(folder)
    assert before["from"]["source_sha256"]
    assert config.facts(folder) == before
    (folder / "weights.bin").write_bytes(b"2")
    assert config.facts(folder) != before


@pytest.mark.parametrize("rows", ["batch", 1, None])
def test_an_onnx_file_of_each_type(tmp_path, rows):
    env = Echo(5)
    for name, size in (("wheeled", 2), ("chooser", 3)):
        graph(tmp_path / f"{name}.onnx", 2 * np.eye(size), rows)
    expert = load(tmp_path, env, **{"from": {name: f"{name}.onnx" for name in ("wheeled", "chooser")}})
    expects(env, expert, 2.0)
    assert [expert.macs(name) for name in ("wheeled", "chooser")] == [4, 9]


def test_an_onnx_file_of_the_whole_team(tmp_path):
    env = Echo(5)
    graph(tmp_path / "team.onnx", np.eye(2 * 2 + 3), outputs=("value", "command"))
    expert = load(tmp_path, env, **{"from": "team.onnx", "joint": True, "output": "command"})
    expects(env, expert)
    assert expert.macs("wheeled") == 49


def test_what_an_onnx_expert_is_does_not_depend_on_where_it_is(tmp_path):
    config = keys(**{"from": "one.onnx"})
    graph(tmp_path / "one.onnx", np.eye(2))
    graph(tmp_path / "two.onnx", np.eye(2))
    assert config.facts(tmp_path) == keys(**{"from": "two.onnx"}).facts(tmp_path)
    graph(tmp_path / "one.onnx", 2 * np.eye(2))
    assert config.facts(tmp_path) != keys(**{"from": "two.onnx"}).facts(tmp_path)


class Greedy:
    """As any other model of theirs looks."""

    def __init__(self, act):
        self.observation_space, self.act = type("Box", (), {"shape": (3,)}), act

    def predict(self, seen, deterministic):
        assert deterministic
        return self.act(seen), None


def test_distributions_are_taken_as_they_are():
    env = Echo(40)
    normal = Stable(lambda seen: torch.distributions.Normal(seen, torch.tensor(0.25)), 2)
    categorical = Stable(lambda seen: torch.distributions.Categorical(logits=3 * seen), 3)
    expert = wrap({"wheeled": normal, "chooser": categorical}, env, CONFIG)
    decided = expert(observe(env, EXPERT))
    expects(env, expert)
    shown = torch.from_numpy(np.eye(3, dtype=np.float32)[env.index])
    torch.testing.assert_close(
        decided["chooser"].logits.softmax(-1),
        (3 * shown).softmax(-1),
    )
    torch.manual_seed(0)
    drawn = torch.stack([expert.command({"wheeled": decided["wheeled"].sample()})["wheeled"] for _ in range(4000)])
    middle = (torch.from_numpy(env.wanted / DRIVE.high).abs() < 0.4).all(-1)
    assert middle.any()
    torch.testing.assert_close(drawn.std(0)[middle], torch.full((int(middle.sum()), 2), 0.25), atol=0.03, rtol=0)
    assert expert.macs("wheeled") == 2 * 8 + 8 * 2


def test_greedy_models_get_a_narrow_distribution():
    env = Echo(5)
    models = {"wheeled": lambda seen: seen, "chooser": Greedy(lambda seen: seen.argmax(-1))}
    expert = wrap(models, env, ForeignConfig(from_="a:b", spread=0.1))
    decided = expert(observe(env, EXPERT))
    expects(env, expert)
    assert isinstance(decided["wheeled"], SquashedGaussian)
    torch.testing.assert_close(decided["wheeled"].log_std.exp(), torch.full((5, 2, 2), 0.2))
    assert isinstance(decided["chooser"], Categorical)
    torch.testing.assert_close(decided["chooser"].logits.softmax(-1).amax(-1), torch.full((5, 1), 0.9))
    assert expert.macs("chooser") is None


def test_probabilities_are_distinguished_from_logits():
    env = Echo(4)
    models = {"wheeled": nn.Identity(), "chooser": nn.Softmax(-1)}
    logits = wrap(models, env, CONFIG)(observe(env, EXPERT))["chooser"].logits
    shown = torch.from_numpy(np.eye(3, dtype=np.float32)[env.index])
    torch.testing.assert_close(logits.softmax(-1), shown.softmax(-1))


def test_leading_dimensions_stay():
    env = Echo(6)
    seen = observe(env, EXPERT)
    expert = wrap(nn.Identity(), env, CONFIG)
    flat = expert(seen)["wheeled"].mean
    shaped = expert({name: x.unflatten(0, (2, 3)) for name, x in seen.items()})["wheeled"].mean
    torch.testing.assert_close(shaped.flatten(0, 1), flat)


def best_door(observation):
    return {name: np.where(seen[..., 2:6] > 0.5, np.arange(4), -1).argmax(-1) for name, seen in observation.items()}


def test_masked_actions_get_no_probability():
    env = Doors(50)
    seen = observe(env, EXPERT)
    values = lambda observation: {name: np.arange(4.0) + 0 * x[..., :4] for name, x in observation.items()}  # noqa: E731
    for function in (best_door, values):
        expert = wrap(function, env, CONFIG)
        for name, decided in expert(seen).items():
            open_ = seen[name][..., 2:6] > 0.5
            assert (decided.logits.softmax(-1)[~open_] == 0).all()
            np.testing.assert_array_equal(decided.mode()[..., 0], best_door(seen)[name])
    env.step(greedy(wrap(best_door, env, CONFIG))(env))
    with pytest.raises(KdmarlError, match=r"chooses action 3 of '\w+', which its action mask forbids"):
        wrap(lambda o: {name: np.full(x.shape[:2], 3) for name, x in o.items()}, env, CONFIG)


def test_team_policies_and_objects_from_python():
    env = Echo(3)
    own = make_policy("decentralized", env.groups, NetworkConfig(hidden=(8,)))
    assert given(own, env, ExpertConfig()) is own
    expert = given(nn.Identity(), env, ExpertConfig(view="student"))
    assert expert.view == "student"
    with pytest.raises(KdmarlError, match=r"the given Linear: fails on observations \[3, 1, 3\] of 'chooser'"):
        given(nn.Linear(2, 7), env, ExpertConfig())


def test_costs_that_are_not_known_are_not_claimed(tmp_path):
    env = Echo(3)
    assert wrap(best_echo, env, CONFIG).macs("wheeled") is None
    convolving = nn.Sequential(nn.Unflatten(-1, (1, -1)), nn.Conv1d(1, 1, 1), nn.Flatten())
    assert wrap(convolving, env, CONFIG).macs("wheeled") is None
    layers = nn.ModuleDict({"wheeled": nn.Linear(2, 2), "chooser": nn.Linear(3, 3)})
    assert wrap(dict(layers.items()), env, CONFIG).macs("chooser") == 9


def best_echo(observation):
    return {"wheeled": observation["wheeled"], "chooser": observation["chooser"].argmax(-1)}


def test_an_onnx_file_from_torch_gives_what_the_module_gives(tmp_path: Path):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 2)).eval()
    program = torch.onnx.export(net, (torch.zeros(1, 2),), dynamo=True, verbose=False)
    onnx.save(program.model_proto, str(tmp_path / "wheeled.onnx"))
    env = Echo(7)
    file = load_foreign(ForeignConfig(from_={"wheeled": "wheeled.onnx", "chooser": "torch.nn:Identity"}), env, tmp_path)
    module = wrap({"wheeled": net, "chooser": nn.Identity()}, env, CONFIG)
    seen = observe(env, EXPERT)
    torch.testing.assert_close(file(seen)["wheeled"].mean, module(seen)["wheeled"].mean, atol=1e-4, rtol=1e-4)
    assert file.macs("wheeled") == module.macs("wheeled") == 2 * 16 + 16 * 2
