"""Whole episodes only, equally many from each environment."""

import numpy as np

from kdmarl_core.evaluate import episodes
from toy import Doors, Echo


def perfect(env):
    return {"wheeled": env.wanted, "chooser": env.index[..., None]}


def test_figures_of_whole_episodes():
    figures = episodes.run(Echo(8), perfect, 20, seed=1)
    assert figures["return"].shape == (20, 3)
    np.testing.assert_allclose(figures["return"], 5.0)


def test_random_commands_are_within_the_spaces_and_reproducible():
    env = Echo(200)
    one, two = episodes.random_commands(4)(env), episodes.random_commands(4)(env)
    np.testing.assert_array_equal(one["wheeled"], two["wheeled"])
    assert set(np.unique(one["chooser"])) == {0, 1, 2}
    assert np.abs(one["wheeled"][..., 0]).max() <= 1.0
    assert np.abs(one["wheeled"][..., 1]).max() > 1.9


def test_random_commands_are_uniform_among_the_available_actions():
    env = Doors(2000)
    commands = episodes.random_commands(5)(env)
    for name, chosen in commands.items():
        available = env.observe("student")[name][..., 2:6]
        shares = np.eye(4)[chosen[..., 0]][available.sum(-1) == 4].mean(0)
        np.testing.assert_allclose(shares, 0.25, atol=0.1)
    env.step(commands)  # a closed door raises
