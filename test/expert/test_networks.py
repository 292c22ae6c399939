"""Networks: normalisation, limits, memory, cost."""

import numpy as np
import pytest
import torch

from kdmarl_core.contract import Discrete
from kdmarl_core.expert.networks import Actor, NetworkConfig, Normalizer
from toy import DRIVE


def test_normalizer_matches_the_whole_data():
    rng = np.random.default_rng(0)
    data = torch.from_numpy(rng.normal(3, 5, (1000, 4)).astype(np.float32))
    normalizer = Normalizer(4)
    for part in data.split([1, 10, 500, 489]):
        normalizer.update(part)
    torch.testing.assert_close(normalizer.mean, data.mean(0), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(normalizer.var, data.var(0, unbiased=False), rtol=1e-3, atol=1e-2)
    whitened = normalizer(data)
    torch.testing.assert_close(normalizer.inverse(whitened), data, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("state_dependent", [False, True])
def test_commands_stay_within_limits(state_dependent):
    actor = Actor(3, DRIVE, NetworkConfig(hidden=(8,), state_dependent_std=state_dependent))
    with torch.no_grad():
        actor.net[-1].weight.mul_(1e4)
        commands = actor.greedy(torch.randn(500, 3) * 100)
    assert (commands >= torch.from_numpy(DRIVE.low) - 1e-6).all()
    assert (commands <= torch.from_numpy(DRIVE.high) + 1e-6).all()
    assert commands[:, 0].max() > 0.99  # both ends are reached
    assert commands[:, 1].min() < -1.99


def test_macs_count_linear_layers():
    assert Actor(10, DRIVE, NetworkConfig(hidden=(32, 16))).macs == 10 * 32 + 32 * 16 + 16 * 2
    assert Actor(10, Discrete(5), NetworkConfig(hidden=(32,))).macs == 10 * 32 + 32 * 5


def recurrent(observation=3):
    torch.manual_seed(0)
    return Actor(observation, DRIVE, NetworkConfig(hidden=(16,), memory=8))


def test_a_sequence_gives_what_steps_give_and_forgets_where_episodes_begin():
    actor, observation, start = recurrent(), torch.randn(7, 4, 2, 3), torch.randn(4, 2, 8)
    starts = torch.rand(7, 4) < 0.3
    state, steps = start, []
    for seen, begins in zip(observation, starts, strict=True):
        state = actor.features(seen, state.masked_fill(begins[:, None, None], 0))
        steps.append(state)
    torch.testing.assert_close(actor.sequence(observation, start, starts), torch.stack(steps))
    starts[3] = True
    forgotten = actor.sequence(observation, start, starts)[3:]
    torch.testing.assert_close(forgotten, actor.sequence(observation[3:], torch.zeros(4, 2, 8), starts[3:]))
    torch.testing.assert_close(forgotten[0], actor.features(observation[3]))


def test_macs_count_the_cell():
    assert recurrent(10).macs == 10 * 16 + 3 * (16 + 8) * 8 + 8 * 2
