"""Team policies: who sees whom, what is available, who remembers what."""

import pytest
import torch

from kdmarl_core.contract import Discrete, KdmarlError
from kdmarl_core.contract.terms import PreviousAction
from kdmarl_core.envs.base import EXPERT, STUDENT, Group
from kdmarl_core.expert.memory import Memory
from kdmarl_core.expert.networks import NetworkConfig
from kdmarl_core.expert.policies import DecentralizedPolicy, make_policy, observe
from toy import DRIVE, Doors, Echo

SMALL = NetworkConfig(hidden=(16, 16))


def test_decentralized_agents_ignore_each_other_and_centralized_ones_do_not():
    env = Echo(4)
    observation = observe(env, EXPERT)
    changed = {name: x.clone() for name, x in observation.items()}
    changed["wheeled"][:, 1] += 1.0
    for kind, sees in (("decentralized", False), ("centralized", True)):
        torch.manual_seed(0)
        policy = make_policy(kind, env.groups, SMALL)
        one, two = policy(observation), policy(changed)
        moved = (one["wheeled"].mean[:, 0] - two["wheeled"].mean[:, 0]).abs().max() > 0
        assert bool(moved) == sees
        assert policy.macs("wheeled") > 0


@pytest.mark.parametrize("kind", ["decentralized", "shared", "centralized"])
def test_a_policy_knows_what_it_sees_through(kind):
    assert make_policy(kind, Echo(1).groups[:1], SMALL, STUDENT).view == STUDENT


def test_agents_of_one_type_are_exchangeable_in_the_centralized_policy():
    env = Echo(4)
    policy = make_policy("centralized", env.groups, SMALL)
    observation = observe(env, EXPERT)
    swapped = {**observation, "wheeled": observation["wheeled"].flip(1)}
    torch.testing.assert_close(policy(observation)["wheeled"].mean.flip(1), policy(swapped)["wheeled"].mean)


def test_a_shared_actor_tells_types_apart_and_agents_still_ignore_each_other():
    seen = [PreviousAction(2)]
    groups = tuple(
        Group(name, slice(2 * index, 2 * index + 2), {EXPERT: seen}, DRIVE) for index, name in enumerate(("one", "two"))
    )
    policy = make_policy("shared", groups, SMALL)
    same = torch.ones(5, 2, 2)
    one, two = (policy({"one": same, "two": same})[name].mean for name in ("one", "two"))
    assert (one - two).abs().min() > 0
    assert (one[:, 0] - one[:, 1]).abs().max() == 0
    other = policy({"one": same, "two": same + 1})
    torch.testing.assert_close(other["one"].mean, one)
    assert policy.macs("one") == sum(p.numel() for p in policy.net.parameters() if p.dim() == 2)
    assert {name for name, _ in policy.named_parameters()} >= {"head_modules.one.log_std", "head_modules.two.log_std"}


def test_a_shared_actor_needs_equal_observations():
    with pytest.raises(KdmarlError, match="those of 'chooser' differ from 'wheeled'; use decentralized"):
        make_policy("shared", Echo(1).groups, SMALL)


@pytest.mark.parametrize("kind", ["decentralized", "shared", "centralized"])
def test_unavailable_actions_have_no_probability_and_everything_stays_finite(kind):
    env = Doors(200)
    one, two = (make_policy(kind, env.groups, SMALL) for _ in range(2))
    observation = observe(env, EXPERT)
    for _ in range(3):
        one.update_normalizers(observation)  # the mask must reach the head as it is
    for name, distribution in one(observation).items():
        available = observation[name][..., 2:6] > 0.5
        assert (distribution.logits.softmax(-1)[~available] == 0).all()
        for chosen in (distribution.sample(), distribution.mode()):
            assert available.gather(-1, chosen).all()
        alone = available.sum(-1) == 1
        assert alone.any()
        torch.testing.assert_close(distribution.entropy()[alone], torch.zeros(int(alone.sum())))
        other = two(observation)[name]
        for temperature in (0.5, 1.0, 3.0):
            divergence = distribution.kl_to(other, temperature)
            assert torch.isfinite(divergence).all()
            assert divergence.max() < 5
    loss = sum(d.entropy().sum() + d.log_prob(d.sample()).sum() for d in one(observation).values())
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in one.parameters() if p.grad is not None)


def test_a_mask_that_does_not_fit_the_actions_is_refused():
    group = Doors(1).groups[0]
    wrong = Group("walker", group.agents, group.observation, Discrete(5))
    with pytest.raises(KdmarlError, match="action_mask: the observation has one of 4, and there are 5"):
        make_policy("decentralized", (wrong,), SMALL)


def test_agents_remember_each_for_itself():
    env = Echo(4)
    configs = {"wheeled": NetworkConfig(hidden=(16,), memory=8), "chooser": SMALL}
    policy = DecentralizedPolicy(env.groups, STUDENT, configs)
    memory, other = Memory(policy, env), Memory(policy, env)
    assert {name: state.shape for name, state in memory.states.items()} == {"wheeled": (4, 2, 8)}
    seen = observe(env, STUDENT)
    changed = {name: x.clone() for name, x in seen.items()}
    changed["wheeled"][2, 1] += 1.0
    memory.step(seen)
    other.step(changed)
    one, two = memory.step(seen), other.step(seen)
    moved = (one["wheeled"].mean - two["wheeled"].mean).abs().sum(-1) > 0
    assert moved.nonzero().tolist() == [[2, 1]]
    torch.testing.assert_close(one["chooser"].logits, policy(seen)["chooser"].logits)
    assert not memory.starts.any()
    memory.forget(torch.tensor([True, False, False, True]))
    assert memory.starts.tolist() == [True, False, False, True]
    again = memory.step(seen)["wheeled"].mean
    fresh = policy(seen)["wheeled"].mean
    torch.testing.assert_close(again[[0, 3]], fresh[[0, 3]])
    assert (again[[1, 2]] - fresh[[1, 2]]).abs().max() > 0
