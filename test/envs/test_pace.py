"""Slow robots: episodes and rewards fit their speed."""

import msgspec
import numpy as np
import pytest
import yaml

from kdmarl_core.envs.robots.config import Randomization
from kdmarl_core.envs.robots.navigation import Navigation, NavigationConfig

CALM = Randomization(noise=(0, 0), dropout=(0, 0), delay=(0, 0), gain=(1, 1), odometry_noise=(0, 0))
TERMS = [{"term": "goal", "range": 5.0}]


def make(folder, slower: float, period: float, **changes) -> Navigation:
    """Three robots of 0.5 m/s, or that much slower: their accelerations by the square of it, so that ways are equal."""
    action = {
        "kind": "diff_drive", "linear": [-0.3 / slower, 0.5 / slower], "angular": [-2.0 / slower, 2.0 / slower],
        "linear_acceleration": 1.0 / slower**2, "angular_acceleration": 4.0 / slower**2,
    }  # fmt: skip
    robot = {"radius": 0.2, "action": action, "sensors": {}}
    (folder / "robots.yaml").write_text(yaml.safe_dump({"rover": robot}))
    task = {
        "robot_types": "robots.yaml", "team": {"rover": 3}, "arena": [4.0, 4.0], "discs": [2, 4], "margin": 0.2,
        "control_period": period, "observations": {view: {"rover": TERMS} for view in ("expert", "student")},
    }  # fmt: skip
    config = msgspec.convert(task | {"kind": "navigation"} | changes, NavigationConfig)
    return Navigation(msgspec.structs.replace(config, randomization=CALM), folder, 8)


def rewards(env: Navigation, steps: int) -> np.ndarray:
    """(steps, B, N) of random commands."""
    env.reset(0)
    random = np.random.default_rng(1)
    (group,) = env.groups
    found = []
    for _ in range(steps):
        found.append(env.step({"rover": group.action.high * random.uniform(-0.5, 1, (8, 3, 2))}).reward)
    return np.array(found)


def test_time_stretched_is_the_same_task(tmp_path):
    """At half of the speed, with control periods of twice the length, each step pays the same."""
    usual, slow = make(tmp_path, 1.0, 0.1), make(tmp_path, 2.0, 0.2)
    assert usual.max_steps == slow.max_steps == 300
    np.testing.assert_allclose(rewards(slow, 150), rewards(usual, 150), rtol=1e-4, atol=1e-5)


def test_slow_robots_have_more_time_and_are_charged_as_much_on_the_way(tmp_path):
    """In control periods of the usual length episodes have twice the steps, and each counts half."""
    usual, slow = make(tmp_path, 1.0, 0.1), make(tmp_path, 2.0, 0.1)
    assert (usual.max_steps, slow.max_steps) == (300, 600)
    assert slow.weights.close == usual.weights.close / 2
    assert slow.weights.collision == usual.weights.collision
    assert slow.weights.course_time == usual.weights.course_time * 2


@pytest.mark.parametrize(("slower", "period", "steps"), [(0.5, 0.1, 300), (1.0, 0.2, 150), (3.0, 0.1, 900)])
def test_length_of_episodes(tmp_path, slower, period, steps):
    assert make(tmp_path, slower, period).max_steps == steps


def test_a_file_may_say_how_long_episodes_are(tmp_path):
    assert make(tmp_path, 2.0, 0.1, max_steps=40).max_steps == 40


def test_what_was_trained_before_is_the_same_task(tmp_path):
    """A team at full pace depends on no pace; of a slower one a checkpoint made without it is another task."""
    usual, slow = make(tmp_path, 1.0, 0.1), make(tmp_path, 2.0, 0.1)
    make(tmp_path, 1.0, 0.1)
    facts = usual.config.facts(tmp_path)
    assert facts["max_steps"] == 300
    assert "pace" not in facts
    make(tmp_path, 2.0, 0.1)
    assert slow.config.facts(tmp_path)["pace"] == 0.5
