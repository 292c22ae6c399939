"""docs/pack.md, "Exporting the network": its code makes policy files of the models that Stable-Baselines3 trains."""

import textwrap

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete
from stable_baselines3 import A2C, DQN, PPO, SAC, TD3
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from foreign_networks import LISTED, SIZE, describe
from kdmarl_core.contract import load_robot_types
from kdmarl_core.export.foreign.samples import random_observations
from kdmarl_core.export.pack import pack
from kdmarl_core.runtime import Policy
from support import REPOSITORY, ROBOT_TYPES

pytestmark = pytest.mark.filterwarnings("ignore")

ACTION = load_robot_types(ROBOT_TYPES)["scout"].action
UNIT = Box(-1.0, 1.0, (2,), np.float32)
PHYSICAL = Box(ACTION.low, ACTION.high)
PAGE = (REPOSITORY / "docs/pack.md").read_text()


class Nothing(gymnasium.Env):
    """Random observations of a scout's policy."""

    def __init__(self, action_space):
        self.observation_space, self.action_space = Box(-np.inf, np.inf, (SIZE,), np.float32), action_space

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.np_random.normal(size=SIZE).astype(np.float32), {}

    def step(self, action):
        return self.reset()[0], 0.0, False, False, {}


def export(network, model, folder, monkeypatch):
    """Run the page's code with ``network``, which makes a module of ``Actor`` and the model; returns its file."""
    code = textwrap.dedent(PAGE[PAGE.index("    class Actor") : PAGE.index("| Stable-Baselines3 | export")])
    definition, _, writing = code.partition("actor = Actor(model.policy)")
    names = {"torch": torch, "model": model}
    monkeypatch.chdir(folder)
    exec(definition, names)
    names["network"] = network(names["Actor"], model)
    exec("actor = network" + writing, names)
    return folder / "policy.onnx"


def of_policy(actor, model):
    return actor(model.policy)


def of_actor(actor, model):
    return actor(model.policy.actor)


def actor_itself(actor, model):
    return model.policy.actor


def commands(path, rows, **changes):
    """Those of the policy file that becomes of a network, and of observations that fit it."""
    target = path.parent / "models/policy.onnx"
    pack(path, describe(path.parent, **changes), ROBOT_TYPES, target)
    policy = Policy.load(target)
    rows = random_observations(policy.manifest.observation, policy.manifest.action, rows, np.random.default_rng(7))
    policy.reset()
    return np.stack([policy(row) for row in rows]), rows


@pytest.mark.parametrize(
    ("algorithm", "network", "space", "manifest"),
    [
        (PPO, of_policy, UNIT, {"output": "normalized", "clip": True}),
        (A2C, of_policy, UNIT, {"output": "normalized", "clip": True}),
        (PPO, of_policy, PHYSICAL, {"output": "physical", "clip": True}),
        (SAC, of_actor, PHYSICAL, {"output": "normalized", "clip": False}),
        (TD3, actor_itself, PHYSICAL, {"output": "normalized", "clip": False}),
        (DQN, of_policy, Discrete(3), {"output": {"commands": LISTED}, "clip": False}),
        (PPO, of_policy, Discrete(3), {"output": {"commands": LISTED}, "clip": False}),
    ],
)
def test_each_row_of_the_table(tmp_path, monkeypatch, algorithm, network, space, manifest):
    model = algorithm("MlpPolicy", Nothing(space), seed=1, device="cpu")
    given, rows = commands(export(network, model, tmp_path, monkeypatch), 50, **manifest)
    expected, _ = model.predict(rows, deterministic=True)
    if isinstance(space, Discrete):
        expected = np.array(LISTED)[expected]
    elif space is UNIT:
        expected = ACTION.low + (expected + 1) / 2 * (ACTION.high - ACTION.low)
    assert given == pytest.approx(expected, abs=1e-5)


def test_the_normaliser_of_training(tmp_path, monkeypatch):
    env = VecNormalize(DummyVecEnv([lambda: Nothing(UNIT)]))
    model = PPO("MlpPolicy", env, n_steps=64, seed=1, device="cpu").learn(64)
    path = export(lambda actor, model: actor(model.policy, env), model, tmp_path, monkeypatch)
    given, rows = commands(path, 50, output="normalized", clip=True)
    expected, _ = model.predict(env.normalize_obs(rows), deterministic=True)
    expected = ACTION.low + (expected + 1) / 2 * (ACTION.high - ACTION.low)
    assert given == pytest.approx(expected, abs=1e-4)
