"""Students with memory: segments keep their order, and what one moment shows serves the later ones."""

import msgspec
import numpy as np
import pytest
import torch
from torch import nn

from kdmarl_core.distill.aggregation import Aggregate, gather, rows
from kdmarl_core.distill.distill import DistillConfig, distill, make_students
from kdmarl_core.distill.losses import LossWeights
from kdmarl_core.distill.polish import PolishConfig, Polisher
from kdmarl_core.distill.segments import draw, recall, unroll
from kdmarl_core.distill.structure import Structure
from kdmarl_core.envs.base import EXPERT, STUDENT
from kdmarl_core.expert.memory import Memory
from kdmarl_core.expert.networks import NetworkConfig, make_critics
from kdmarl_core.expert.policies import make_policy, observe
from kdmarl_core.expert.ppo import PPOConfig
from toy import Cue, perfect_expert

PLAIN, RECURRENT = NetworkConfig(hidden=(32,)), NetworkConfig(hidden=(16,), memory=16)
CONFIG = DistillConfig(
    students={"wheeled": RECURRENT, "chooser": RECURRENT},
    envs=32, rounds=3, steps=10, updates=50, final_updates=500, batch=160, segment=5, polish=PolishConfig(rounds=0),
)  # fmt: skip


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def mean_reward(students, steps=20):
    env, rewards = Cue(64), []
    memory = Memory(students, env)
    with torch.no_grad():
        for _ in range(steps):
            commands = students.command({name: d.mode() for name, d in memory.step(observe(env, STUDENT)).items()})
            step = env.step({name: command.numpy() for name, command in commands.items()})
            rewards.append(step.reward.mean())
            memory.forget(torch.from_numpy(step.truncated))
            env.reset_ended()
    return float(np.mean(rewards))


def gathered(envs=6, steps=12, calls=2):
    """A student, and what two drives with one memory gave, of which a few oldest moments are forgotten."""
    env = Cue(envs)
    students = make_students(CONFIG, env.groups)
    memory, store = Memory(students, env), Aggregate(envs * steps * calls - 8)
    for _ in range(calls):
        store.add(gather(env, perfect_expert(env), students, steps, 0.5, memory=memory)["wheeled"])
    return students.actor("wheeled"), store.all()


def test_what_is_remembered_while_driving_is_what_the_sequence_gives():
    actor, kept = gathered()
    before = recall(actor, kept, 6)
    torch.testing.assert_close(
        torch.where(kept.starts[:, None, None], 0, before.state), kept.state, rtol=1e-5, atol=1e-6
    )
    assert kept.state.abs().max() > 0.01


def test_segments_are_moments_of_one_environment_in_their_order():
    actor, kept = gathered()
    number = torch.arange(kept.starts.shape[0], dtype=torch.float32)
    chosen = draw(kept.starts.shape[0], 6, 5, 100)
    picked = number[chosen].reshape(5, 20)
    assert (picked.diff(dim=0) == 6).all()
    assert picked.min() >= kept.starts.shape[0] % 6
    everything = torch.cat([draw(kept.starts.shape[0], 6, 5, 100) for _ in range(100)])
    assert len(everything.unique()) == kept.starts.shape[0] // 6 * 6
    moments = rows(recall(actor, kept, 6), chosen)
    features = unroll(actor, moments, 5).reshape(5, 20, 2, 16)
    # What is remembered after a moment of a segment is what the next one begins with.
    following = moments.state.reshape(5, 20, 2, 16)[1:]
    torch.testing.assert_close(features[:-1], following, rtol=1e-5, atol=1e-6)


def test_a_first_moment_does_not_know_what_was_before():
    actor, kept = gathered()
    moments = rows(kept, draw(kept.starts.shape[0], 6, 6, 60))
    moments.starts[30:40] = True  # the fourth moment of all ten segments
    other = moments._replace(observation=moments.observation + (torch.arange(60) < 30)[:, None, None])
    one, two = (unroll(actor, given, 6) for given in (moments, other))
    torch.testing.assert_close(one[30:], two[30:])
    assert (one[20:30] - two[20:30]).abs().min() > 0


def test_memory_learns_what_no_other_student_can(tmp_path):
    """Without the cue the best command is the middle of all, which misses by half a span of each on average."""
    rewards = {}
    for name, network in (("memory", RECURRENT), ("plain", PLAIN)):
        config = msgspec.structs.replace(CONFIG, students={"wheeled": network, "chooser": network})
        students = distill(config, perfect_expert(Cue(1)), nn.ModuleDict(), Cue, tmp_path / name, seed=0)
        rewards[name] = mean_reward(students)
    assert rewards["memory"] > rewards["plain"] + 0.5


@pytest.mark.parametrize("term", ["relation", "role", "imitability"])
def test_every_term_trains_memory_through_time(term):
    env = Cue(16)
    expert = make_policy("centralized", env.groups, PLAIN)
    students = make_students(CONFIG, env.groups)
    structure = Structure(expert, students, LossWeights(**{term: 0.5}), seed=0)
    data = gather(env, expert, students, 8, 0.5, structure.projections(expert.features(observe(env, EXPERT))))
    structure.find_roles(data)
    chosen = draw(8 * 16, 16, 8, 128)
    terms = structure.loss({name: rows(states, chosen) for name, states in data.items()}, 8)
    assert any(name.endswith("follow" if term == "imitability" else term) for name in terms)
    torch.stack(list(terms.values())).sum().backward()
    assert all(students.actor(name).cell.weight_hh.grad.abs().max() > 0 for name in data)


def polisher(network=RECURRENT, polish=None):
    env = Cue(64)
    expert, critics = make_policy("decentralized", env.groups, PLAIN), make_critics(env, PLAIN, EXPERT)
    students = make_students(DistillConfig(students={"wheeled": network, "chooser": network}), env.groups)
    return env, Polisher(polish or PolishConfig(), LossWeights(), env, expert, critics, students, PPOConfig(gamma=0.0))


def test_polishing_begins_with_the_probabilities_of_the_drive():
    """Rows of sequences and of the rollout are the same moments, in whichever order environments are taken."""
    _, polish = polisher(polish=PolishConfig(rounds=1, steps=7, epochs=1, minibatches=5))
    polish._rollout.collect(polish.students, polish.critics, 3, polish._memory)  # begin within an episode
    seen = []
    learn = polish._learn

    def watch(driven, chosen, share):
        for name, log_prob in driven.batch.log_prob.items():
            now = polish._decide(name, driven, chosen).log_prob(driven.batch.sample[name].flatten(0, 1)[chosen])
            torch.testing.assert_close(now, log_prob.flatten(0, 1)[chosen], rtol=1e-4, atol=1e-5)
        seen.extend(chosen.tolist())
        return 0.0

    polish._learn = watch
    polish.round(0)
    assert sorted(seen) == list(range(7 * 64))
    polish._learn = learn
    assert np.isfinite(polish.round(0)["advantage"])


def test_polishing_teaches_memory_from_rewards_alone():
    """By far more than without memory, which gains 0.15 to 0.2 here."""
    network = msgspec.structs.replace(RECURRENT, log_std=-0.5)
    polish = PolishConfig(rounds=25, steps=10, learning_rate=1e-2, minibatches=4)
    _, learner = polisher(network, polish)
    before = mean_reward(learner.students)
    for index in range(polish.rounds):
        learner.round(index)
    assert mean_reward(learner.students) > before + 0.5
