"""Training runs: a killed one that is resumed is the same run; damaged files are named."""

import json

import msgspec
import pytest
import torch

from kdmarl_core.contract import KdmarlError
from kdmarl_core.expert import train as module
from kdmarl_core.expert.networks import NetworkConfig
from kdmarl_core.expert.train import CHECKPOINT, ExpertConfig, load_policy, train
from toy import Echo

SMALL = NetworkConfig(hidden=(8,))
CONFIG = ExpertConfig(actor=SMALL, critic=SMALL, envs=4, steps=6, iterations=6, checkpoint_every=2)


def curve(folder):
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if not k.startswith("seconds")} for row in rows]


def test_a_killed_run_continues_the_same_curve(tmp_path, monkeypatch):
    whole = train(CONFIG, Echo, tmp_path / "whole", seed=3)
    real, calls = module._iterate, []

    def killed(*arguments):
        calls.append(1)
        if len(calls) == 4:  # in the fourth iteration, after the checkpoint at two
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(module, "_iterate", killed)
    with pytest.raises(KeyboardInterrupt):
        train(CONFIG, Echo, tmp_path / "cut", seed=3)
    monkeypatch.setattr(module, "_iterate", real)
    with pytest.raises(KdmarlError, match="has 2 of 6 iterations; finish the training first"):
        load_policy(CONFIG, Echo(1), tmp_path / "cut", 3)
    resumed = train(CONFIG, Echo, tmp_path / "cut", seed=3)
    assert curve(tmp_path / "cut") == curve(tmp_path / "whole")
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], value, rtol=0, atol=0)
    assert list(tmp_path.glob("cut/events*"))


def test_a_trained_policy_is_loaded(tmp_path):
    trained = train(CONFIG, Echo, tmp_path, seed=0)
    loaded = load_policy(CONFIG, Echo(1), tmp_path, 0)
    for name, value in trained.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], value)


def test_a_type_may_have_an_actor_of_its_own_size(tmp_path):
    config = msgspec.structs.replace(CONFIG, actors={"chooser": NetworkConfig(hidden=(5, 4))})
    trained = train(config, Echo, tmp_path, seed=0)
    assert trained.macs("chooser") == 3 * 5 + 5 * 4 + 4 * 3
    assert trained.macs("wheeled") == 2 * 8 + 8 * 2
    assert load_policy(config, Echo(1), tmp_path, 0).macs("chooser") == trained.macs("chooser")


def test_wrong_checkpoints_are_named(tmp_path):
    with pytest.raises(KdmarlError, match="no such checkpoint; train first"):
        load_policy(CONFIG, Echo(1), tmp_path, 0)
    train(CONFIG, Echo, tmp_path, seed=0)
    with pytest.raises(KdmarlError, match="another task, expert configuration or seed"):
        train(CONFIG, Echo, tmp_path, seed=1)
    with pytest.raises(KdmarlError, match="another task, expert configuration or seed"):
        train(CONFIG, Echo, tmp_path, seed=0, task="another")
    with pytest.raises(KdmarlError, match="another task, expert configuration or seed"):
        load_policy(CONFIG, Echo(1), tmp_path, 1)
    longer = msgspec.structs.replace(CONFIG, iterations=8)
    with pytest.raises(KdmarlError, match="another task, expert configuration or seed"):
        load_policy(longer, Echo(1), tmp_path, 0)
    other = ExpertConfig(actor=NetworkConfig(hidden=(9,)), critic=SMALL)
    with pytest.raises(KdmarlError, match="does not fit this configuration"):
        load_policy(other, Echo(1), tmp_path, 0)
    path = tmp_path / CHECKPOINT
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(KdmarlError, match="checkpoint is damaged"):
        load_policy(CONFIG, Echo(1), tmp_path, 0)
