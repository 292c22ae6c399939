"""Training runs: a killed one that is resumed is the same run; damaged files are named."""

import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

from kdmarl_core.contract import KdmarlError
from kdmarl_core.envs.base import EXPERT, STUDENT
from kdmarl_core.expert import train as module
from kdmarl_core.expert.networks import NetworkConfig
from kdmarl_core.expert.ppo import PPOConfig
from kdmarl_core.expert.train import CHECKPOINT, ExpertConfig, load_expert, load_policy, seconds, train
from toy import Doors, Echo

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
    rows = [json.loads(line) for line in (tmp_path / "cut/metrics.jsonl").read_text().splitlines()]
    assert seconds(tmp_path / "cut") == pytest.approx(sum(v for r in rows for k, v in r.items() if "seconds" in k))


class Broken(Echo):
    """Rewards are NaN from the fourth iteration on; the first is preceded by as many steps of warming up."""

    total = 0

    def step(self, actions):
        step = super().step(actions)
        self.total += 1
        if self.total > 4 * CONFIG.steps:
            step.reward[0, 0] = np.nan
        return step


def test_a_loss_that_is_not_finite_is_located_and_the_checkpoint_stays(tmp_path):
    with pytest.raises(KdmarlError, match=r"run: iteration 3: the loss is nan; lower expert\.ppo\.learning_rate"):
        train(CONFIG, Broken, tmp_path / "run", seed=3)
    assert [row["iteration"] for row in curve(tmp_path / "run")] == [0, 1, 2]
    with pytest.raises(KdmarlError, match="has 2 of 6 iterations"):
        load_policy(CONFIG, Echo(1), tmp_path / "run", 3)


class Privileged(Echo):
    """What students see of the shown command is nothing."""

    def observe(self, view):
        seen = super().observe(view)
        return seen if view == EXPERT else {name: np.zeros_like(x) for name, x in seen.items()}


def test_critics_may_see_more_than_actors(tmp_path, monkeypatch):
    config = msgspec.structs.replace(CONFIG, view=STUDENT, critic_view=EXPERT)
    batches, real = [], module.PPO.update

    def update(self, batch):
        batches.append(batch)
        return real(self, batch)

    monkeypatch.setattr(module.PPO, "update", update)
    train(config, Privileged, tmp_path, seed=0)
    for batch in batches:
        assert not batch.observation["wheeled"].any()
        assert batch.state["wheeled"].any()
    load_policy(config, Privileged(1), tmp_path, 0)
    train(config, Privileged, tmp_path, seed=0)  # finished: it is taken for the same run
    with pytest.raises(KdmarlError, match="critic_view"):
        train(msgspec.structs.replace(config, critic_view=None), Privileged, tmp_path, seed=0)
    with pytest.raises(KdmarlError, match="expert.critic_view is expert and expert.view student.*remove critic_view"):
        load_expert(config, Privileged(1), tmp_path, 0)


def test_a_trained_policy_is_loaded(tmp_path):
    trained = train(CONFIG, Echo, tmp_path, seed=0)
    loaded = load_policy(CONFIG, Echo(1), tmp_path, 0)
    for name, value in trained.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], value)


@pytest.mark.parametrize("policy", ["decentralized", "shared", "centralized"])
def test_policies_learn_among_the_available_actions_only(tmp_path, policy):
    ppo = PPOConfig(learning_rate=1e-2, entropy=0.01, kl_stop=0.2)
    config = msgspec.structs.replace(CONFIG, policy=policy, actor=NetworkConfig(hidden=(16,)), ppo=ppo, iterations=30)
    train(msgspec.structs.replace(config, envs=64), Doors, tmp_path, seed=3)  # a closed door raises
    rewards = [row["reward"] for row in curve(tmp_path)]
    assert rewards[-1] > 1.9 > rewards[0]  # random: 1.4 in the mean; the last of the open doors: 2.1


LIMITED = """
import resource, sys
from pathlib import Path
from kdmarl_core.errors import run_command
from kdmarl_core.expert.train import train
from test_train import LONG
from toy import Echo
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
sys.exit(run_command(lambda: train(LONG, Echo, Path(sys.argv[1]), seed=3) and None, "kdmarl"))
"""
LONG = msgspec.structs.replace(CONFIG, iterations=50, checkpoint_every=10, ppo=PPOConfig(epochs=1, minibatches=1))


@pytest.mark.parametrize(("bytes_", "full", "kept"), [(16_000, "metrics.jsonl", 30), (8_000, "checkpoint.safet", 0)])
def test_a_full_disk_ends_in_one_sentence_and_loses_nothing(tmp_path, bytes_, full, kept):
    here = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1])])
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path / "cut"), str(bytes_)],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": here},
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert f"cut/{full}" in done.stderr
    assert "cannot be written (" in done.stderr
    assert not list(tmp_path.glob("cut/*.tmp"))
    whole, resumed = (train(LONG, Echo, tmp_path / name, seed=3) for name in ("whole", "cut"))
    assert curve(tmp_path / "cut") == curve(tmp_path / "whole")
    torch.testing.assert_close(resumed.state_dict(), whole.state_dict(), rtol=0, atol=0)
    purges = [event.step for path in tmp_path.glob("cut/events*") for event in LegacyEventFileLoader(str(path)).Load()
              if event.HasField("session_log")]  # fmt: skip
    assert sorted(purges) == sorted([0, kept])


@pytest.mark.parametrize(
    ("in_the_way", "resume", "message"),
    [
        ("run/metrics.jsonl", True, r"run/metrics.jsonl: cannot be written \(Is a directory\)"),
        ("run/checkpoint.safetensors", True, r"run/checkpoint.safetensors: cannot be read"),
        ("run/checkpoint.safetensors", False, r"run/checkpoint.safetensors: cannot be written \(Is a directory\)"),
    ],
)
def test_a_folder_where_a_file_should_be_is_named(tmp_path, in_the_way, resume, message):
    (tmp_path / in_the_way).mkdir(parents=True)
    with pytest.raises(KdmarlError, match=message):
        train(CONFIG, Echo, tmp_path / "run", seed=0, resume=resume)


def test_an_expert_outlives_a_fresh_start_that_cannot_write(tmp_path):
    train(CONFIG, Echo, tmp_path, seed=0)
    (tmp_path / "metrics.jsonl").unlink()
    (tmp_path / "metrics.jsonl").mkdir()
    with pytest.raises(KdmarlError, match="cannot be written"):
        train(CONFIG, Echo, tmp_path, seed=0, resume=False)
    load_policy(CONFIG, Echo(1), tmp_path, 0)


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
    before = (tmp_path / "metrics.jsonl").read_bytes()
    with pytest.raises(KdmarlError, match=r"made with seed = 0 \(now 1\); set that back, or train again with --fresh"):
        train(CONFIG, Echo, tmp_path, seed=1)
    with pytest.raises(KdmarlError, match=r"made with task.kind = nothing \(now \"another\"\)"):
        train(CONFIG, Echo, tmp_path, seed=0, task={"kind": "another"})
    assert (tmp_path / "metrics.jsonl").read_bytes() == before
    with pytest.raises(KdmarlError, match=r"made with seed = 0 \(now 1\)"):
        load_policy(CONFIG, Echo(1), tmp_path, 1)
    longer = msgspec.structs.replace(CONFIG, iterations=8)
    with pytest.raises(KdmarlError, match=r"made with expert.iterations = 6 \(now 8\)"):
        load_policy(longer, Echo(1), tmp_path, 0)
    wider = msgspec.structs.replace(CONFIG, actor=NetworkConfig(hidden=(9,)))
    with pytest.raises(KdmarlError, match=r"made with expert.actor.hidden = \[8\] \(now \[9\]\)"):
        load_policy(wider, Echo(1), tmp_path, 0)
    smaller = Echo(1)
    smaller.groups = smaller.groups[:1]
    with pytest.raises(KdmarlError, match="does not fit this configuration"):
        load_policy(CONFIG, smaller, tmp_path, 0)
    path = tmp_path / CHECKPOINT
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"facts", b"fakts"))
    with pytest.raises(KdmarlError, match="does not say what it was made with; train again"):
        load_policy(CONFIG, Echo(1), tmp_path, 0)
    path.write_bytes(whole)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(KdmarlError, match="checkpoint is damaged"):
        load_policy(CONFIG, Echo(1), tmp_path, 0)
