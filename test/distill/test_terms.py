"""The structured terms of the distillation loss, each against what it must mean."""

import math

import pytest
import torch

from kdmarl_core.distill.advantage import advantage_loss, imitability
from kdmarl_core.distill.relations import Projection, angles, pairwise_distances, relation_loss
from kdmarl_core.distill.roles import assignment, prototypes, role_loss


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def test_distances_are_scaled_by_their_mean():
    line = torch.tensor([[0.0], [1.0], [3.0]])
    torch.testing.assert_close(
        pairwise_distances(line), torch.tensor([[0, 1, 3], [1, 0, 2], [3, 2, 0]]) / 2.0, atol=1e-5, rtol=0
    )


def test_angles_are_those_of_the_triangle():
    triangle = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]])
    cosines = angles(pairwise_distances(triangle))
    assert cosines[0, 1, 2].item() == pytest.approx(0.0, abs=1e-6)  # the right angle
    assert cosines[1, 0, 2].item() == pytest.approx(math.sqrt(0.5), abs=1e-6)


def test_angles_are_the_cosines_between_directions():
    features = torch.randn(4, 7, 5, dtype=torch.float64)
    apart = features.unsqueeze(-3) - features.unsqueeze(-2)  # [j, i] from j to i
    direction = torch.nn.functional.normalize(apart, dim=-1)
    torch.testing.assert_close(angles(pairwise_distances(features)), direction @ direction.transpose(-2, -1))


def test_things_at_one_place_have_no_direction():
    features = torch.tensor([[0.0, 0.0], [1e-6, 0.0], [1.0, 0.0]])
    cosines = angles(pairwise_distances(features))
    assert cosines[0, 1].tolist() == [0.0, 0.0, 0.0]
    assert cosines[2, 0, 1].item() == pytest.approx(1.0)


def test_relations_do_not_see_turns_scales_or_width_but_see_order():
    expert = torch.randn(5, 6, 8)
    turn, _ = torch.linalg.qr(torch.randn(8, 8))
    student = torch.cat([3 * expert @ turn + 7, torch.zeros(5, 6, 4)], -1)
    assert relation_loss(expert, student) < 1e-6
    assert relation_loss(expert, student.flip(1)) > 0.05


def test_relation_has_a_gradient_even_where_features_coincide():
    student = torch.zeros(2, 4, 3, requires_grad=True)
    relation_loss(torch.randn(2, 4, 5), student).backward()
    assert torch.isfinite(student.grad).all()


def test_following_the_relation_gradient_lowers_it():
    expert, student = torch.randn(4, 6, 16), torch.randn(4, 6, 3, requires_grad=True)
    first = relation_loss(expert, student)
    optimizer = torch.optim.Adam([student], lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        loss = relation_loss(expert, student)
        loss.backward()
        optimizer.step()
    assert loss < 0.4 * first


def test_a_projection_nearly_preserves_distances():
    features = torch.randn(40, 256)
    kept = torch.pdist(Projection(256, 64)(features)) / torch.pdist(features)
    assert kept.std() < 0.15
    assert abs(kept.mean() - 1) < 0.1


def test_prototypes_find_clusters_and_assignment_tells_them_apart():
    middles = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    features = torch.cat([middle + 0.1 * torch.randn(50, 2) for middle in middles])
    centres = prototypes(features, 3)
    distance = torch.cdist(middles, centres)
    assert (distance.min(1).values < 0.1).all()
    roles = assignment(features, centres, 0.2)
    torch.testing.assert_close(roles.sum(-1), torch.ones(150))
    assert (roles.max(-1).values > 0.9).all()
    assert len({tuple(row) for row in roles.argmax(-1).reshape(3, 50).tolist()}) == 3


def test_prototypes_of_equal_features_are_finite():
    assert torch.isfinite(prototypes(torch.ones(10, 2), 3)).all()
    assert torch.isfinite(assignment(torch.ones(4, 2), prototypes(torch.ones(10, 2), 3))).all()


def test_role_loss_is_zero_for_the_same_roles_only():
    roles = torch.randn(7, 4).softmax(-1)
    assert role_loss(roles, roles.log() + 3).abs() < 1e-6
    assert role_loss(roles, roles.flip(-1).log()) > 0.05


def test_advantage_raises_good_actions_within_the_clip():
    old = torch.zeros(3)
    new = torch.tensor([0.0, 1.0, 0.0], requires_grad=True)
    loss = advantage_loss(new, old, torch.tensor([1.0, 1.0, -2.0]))
    loss.backward()
    assert loss.item() == pytest.approx(-(1 + 1.2 - 2) / 3)
    assert new.grad.tolist() == pytest.approx([-1 / 3, 0.0, 2 / 3])


def test_what_cannot_be_followed_counts_less():
    weights = imitability(torch.tensor([0.0, 1.0, 5.0]), 2.0)
    assert weights.tolist() == pytest.approx([1.0, math.exp(-2), math.exp(-10)])
    assert imitability(torch.tensor([9.0]), 0.0).item() == 1
