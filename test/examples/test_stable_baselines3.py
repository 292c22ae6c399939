"""examples/stable_baselines3: a model that the real library trained is an expert, from the experiment file alone."""

import numpy as np
from stable_baselines3 import PPO

from example_experts import chain, copy_of, decided, script

OBSERVATIONS, LAYER, ACTIONS = 18, 128, 5


def test_a_trained_model_is_the_expert(tmp_path):
    path = copy_of("stable_baselines3", tmp_path)
    script(tmp_path / "train.py", "stable_baselines3_example").main(steps=1)  # one rollout at least
    seen, actions = decided(path)
    expected, _ = PPO.load(tmp_path / "ppo.zip", device="cpu").predict(seen, deterministic=True)
    assert len(np.unique(expected)) > 1
    np.testing.assert_array_equal(actions[:, 0], expected)
    expert, student, policy = chain(path)
    assert expert["macs"] == OBSERVATIONS * LAYER + LAYER * LAYER + LAYER * ACTIONS
    assert student["macs"] < expert["macs"]
    assert policy.manifest.provenance.expert == "from stable_baselines3:PPO.load"
