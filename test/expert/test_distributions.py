"""Distributions against torch's own."""

import pytest
import torch
from torch import distributions as reference

from kdmarl_core.contract import KdmarlError
from kdmarl_core.expert.distributions import Categorical, SquashedGaussian, apply

torch.manual_seed(0)
GAUSSIANS = [SquashedGaussian(torch.randn(5, 2), torch.randn(5, 2) * 0.3) for _ in range(2)]
CATEGORICALS = [Categorical(torch.randn(5, 4)) for _ in range(2)]


def normal(d):
    return reference.Independent(reference.Normal(d.mean, d.log_std.exp()), 1)


def test_gaussian_matches_torch():
    p, q = GAUSSIANS
    z = p.sample()
    torch.testing.assert_close(p.log_prob(z), normal(p).log_prob(z))
    torch.testing.assert_close(p.entropy(), normal(p).entropy())
    torch.testing.assert_close(p.kl_to(q), reference.kl_divergence(normal(p), normal(q)))


def test_categorical_matches_torch():
    p, q = CATEGORICALS
    index = p.sample()
    assert index.shape == (5, 1)
    torch.testing.assert_close(p.log_prob(index), reference.Categorical(logits=p.logits).log_prob(index.squeeze(-1)))
    torch.testing.assert_close(p.entropy(), reference.Categorical(logits=p.logits).entropy())
    expected = reference.kl_divergence(*(reference.Categorical(logits=d.logits) for d in (p, q)))
    torch.testing.assert_close(p.kl_to(q), expected)


def test_temperature_widens_both():
    p, q = GAUSSIANS
    wide = [SquashedGaussian(d.mean, d.log_std + 0.5 * torch.log(torch.tensor(4.0))) for d in (p, q)]
    torch.testing.assert_close(p.kl_to(q, 4.0), wide[0].kl_to(wide[1]))
    p, q = CATEGORICALS
    soft = [Categorical(d.logits / 4) for d in (p, q)]
    torch.testing.assert_close(p.kl_to(q, 4.0), soft[0].kl_to(soft[1]))


@pytest.mark.parametrize("pair", [GAUSSIANS, CATEGORICALS])
def test_divergence_is_zero_only_for_equals(pair):
    p, q = pair
    torch.testing.assert_close(p.kl_to(p), torch.zeros(5), atol=1e-6, rtol=0)
    assert (p.kl_to(q) > 0).all()


def test_samples_follow_the_distribution():
    torch.manual_seed(1)
    many = Categorical(torch.log(torch.tensor([0.7, 0.2, 0.1])).expand(20000, 3)).sample()
    assert torch.bincount(many.flatten()).div(20000).tolist() == pytest.approx([0.7, 0.2, 0.1], abs=0.02)


def test_a_network_that_diverged_is_named():
    with pytest.raises(KdmarlError, match="a probability is nan; lower the learning rate"):
        Categorical(torch.tensor([[0.0, 1.0], [torch.nan, 0.0]])).sample()


def test_apply_to_several():
    both = apply(lambda *parts: torch.cat(parts), *GAUSSIANS)
    assert both.mean.shape == (10, 2)
    torch.testing.assert_close(both.log_std[5:], GAUSSIANS[1].log_std)
