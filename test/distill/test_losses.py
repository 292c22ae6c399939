"""Loss terms: zero at agreement, weighted, switched off by weight 0."""

import pytest
import torch

from kdmarl_core.distill.losses import LossWeights, action_loss, imitation_loss, kl_loss
from kdmarl_core.expert.distributions import Categorical, SquashedGaussian


def gaussian(shift=0.0):
    return SquashedGaussian(torch.linspace(-1, 1, 6).reshape(3, 2) + shift, torch.full((3, 2), -1.0))


def test_agreement_costs_nothing():
    assert kl_loss(gaussian(), gaussian(), 2.0) == pytest.approx(0, abs=1e-6)
    assert action_loss(gaussian(), gaussian()) == 0


def test_action_loss_is_measured_on_squashed_commands():
    deep, deeper = gaussian(20.0), gaussian(30.0)
    assert action_loss(deep, deeper) < 1e-6
    assert kl_loss(deep, deeper, 1.0) > 100
    assert action_loss(gaussian(), gaussian(0.5)) > 0.1


def test_action_loss_of_categoricals_is_cross_entropy_with_the_greedy_action():
    expert = Categorical(torch.tensor([[0.0, 5.0, 1.0], [3.0, 0.0, 0.0]]))
    student = Categorical(torch.log(torch.tensor([[0.2, 0.5, 0.3], [0.1, 0.8, 0.1]])))
    expected = -(torch.log(torch.tensor(0.5)) + torch.log(torch.tensor(0.1))) / 2
    torch.testing.assert_close(action_loss(expert, student), expected)


def test_temperature_keeps_the_size_of_the_gradient():
    expert = Categorical(torch.tensor([[2.0, 0.0, -1.0]]))
    sizes = []
    for temperature in (1.0, 5.0):
        logits = torch.zeros(1, 3, requires_grad=True)
        kl_loss(expert, Categorical(logits), temperature).backward()
        sizes.append(logits.grad.norm().item())
    assert 0.3 < sizes[1] / sizes[0] < 3


def test_weights_scale_and_remove_terms():
    pair = gaussian(), gaussian(0.5)
    both = imitation_loss(*pair, LossWeights(kl=0.5, action=2.0))
    assert both["kl"] == pytest.approx(0.5 * kl_loss(*pair, 1.0).item())
    assert both["action"] == pytest.approx(2.0 * action_loss(*pair).item())
    assert set(imitation_loss(*pair, LossWeights(kl=0.0, action=1.0))) == {"action"}
    assert set(imitation_loss(*pair, LossWeights(action=0.0))) == {"kl"}
