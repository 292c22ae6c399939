"""Teams of robots whose commands have different values: each moves, measures and is paid by its own kinematics."""

import msgspec
import numpy as np
import pytest

from kdmarl_core.contract import KdmarlError
from kdmarl_core.envs.base import EXPERT, STUDENT
from kdmarl_core.envs.robots.config import Randomization
from kdmarl_core.envs.robots.goals import Reward
from kdmarl_core.envs.robots.navigation import Navigation, NavigationConfig
from kdmarl_core.experiment.experiment import Experiment
from support import REPOSITORY

EXPERIMENT = REPOSITORY / "config/omni.yaml"
CALM = Randomization(noise=(0, 0), dropout=(0, 0), delay=(0, 0), gain=(1, 1), odometry_noise=(0, 0))
OPEN = {"discs": (0, 0), "walls": (0, 0), "randomization": CALM}


def make(envs=4, **changes) -> Navigation:
    task = Experiment.load(EXPERIMENT).task
    assert isinstance(task, NavigationConfig)
    return Navigation(msgspec.structs.replace(task, **changes), EXPERIMENT.parent, envs)


def commands(env, rng):
    return {
        g.name: rng.uniform(g.action.low, g.action.high, (env.num_envs, g.count, g.action.size)) for g in env.groups
    }


def test_groups_command_and_observe_their_own_values():
    env = make()
    assert {group.name: group.action.size for group in env.groups} == {"omni": 3, "scout": 2}
    rng = np.random.default_rng(0)
    given = commands(env, rng)
    env.step(given)
    for group in env.groups:
        terms = [term for term, _ in group.places(STUDENT)]
        size = group.action.size
        seen = env.observe(STUDENT)[group.name]
        assert seen.shape[-1] == sum(term.size for term in terms)
        np.testing.assert_allclose(seen[..., -size:], given[group.name], rtol=1e-6)
    assert env.commands[0][:, 3:, 2].max() == 0  # what the scouts have none of


def test_same_seed_same_bytes():
    def record():
        env, rng, parts = make(max_steps=10), np.random.default_rng(1), []
        env.reset(5)
        for _ in range(25):
            step = env.step(commands(env, rng))
            env.reset_ended()
            parts.append(step.reward.tobytes())
            parts += [x.tobytes() for view in (EXPERT, STUDENT) for x in env.observe(view).values()]
            parts += [x.tobytes() for x in env.state().values()]
        return b"".join(parts)

    assert record() == record()


def test_each_moves_as_it_can_and_measures_how():
    env = make(1, **OPEN)
    env.reset(0)
    env.pose[0] = [(-2.5 + i, 0.0, np.pi / 2) for i in range(6)]
    start = env.pose[0].copy()
    for _ in range(8):
        env.step({"omni": np.tile([0.0, 0.4, 0.0], (1, 3, 1)), "scout": np.tile([0.4, 0.0], (1, 3, 1))})
    moved = env.pose[0] - start
    assert (moved[:3, 0] < -0.2).all()  # to their left, which is -x
    assert np.abs(moved[:3, 1]).max() < 1e-9
    assert (moved[3:, 1] > 0.2).all()
    assert np.abs(moved[3:, 0]).max() < 1e-9
    np.testing.assert_allclose(env.body_velocity[0, 0], [0.0, 0.4, 0.0], atol=1e-9)
    np.testing.assert_allclose(env.ground_speed[0], 0.4)
    np.testing.assert_allclose(env._ground_velocity()[0, :3], [[-0.4, 0.0]] * 3, atol=1e-9)
    np.testing.assert_allclose(env._ground_velocity()[0, 3:], [[0.0, 0.4]] * 3, atol=1e-9)
    seen = env.observe(STUDENT)
    np.testing.assert_allclose(seen["omni"][0, 0, -6:-3], [0.0, 0.4, 0.0], atol=1e-6)
    np.testing.assert_allclose(seen["scout"][0, 0, -4:-2], [0.4, 0.0], atol=1e-6)


def test_turning_is_what_the_last_value_does():
    """A sudden yaw rate costs, a sudden speed to the left does not."""
    costs, weights = [], Reward(progress=0.0, facing=0.0, at_goal=0.0, course=0.0)
    for command in ([0.0, 0.0, 2.0], [0.0, 0.5, 0.0], [0.0, 0.0, 0.0]):
        env = make(1, **OPEN, reward=weights)
        env.reset(0)
        step = env.step({"omni": np.tile(command, (1, 3, 1)), "scout": np.zeros((1, 3, 2))})
        costs.append(float(step.reward[0, 0]))
    assert costs[0] - costs[2] == pytest.approx(weights.turning, rel=1e-3)
    assert costs[1] == pytest.approx(costs[2], abs=1e-6)


def test_a_term_with_too_few_values_is_refused():
    data = Experiment.load(EXPERIMENT).data["task"]
    data["observations"]["student"]["omni"][-1].pop("count")
    env = Navigation(msgspec.convert(data, NavigationConfig), EXPERIMENT.parent, 1)
    with pytest.raises(KdmarlError, match="previous_action: got 3 values, the policy expects 2"):
        env.observe(STUDENT)
