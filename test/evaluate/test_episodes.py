"""Whole episodes only, equally many from each environment."""

import numpy as np
from onnx import numpy_helper

from kdmarl_core.contract.terms import PreviousAction
from kdmarl_core.evaluate import episodes
from kdmarl_core.runtime import Policy
from support import write_policy
from toy import DRIVE, Doors, Echo


class Wheels(Echo):
    """The wheeled agents alone choose; episodes last 3, 4 and 5 steps."""

    def __init__(self, num_envs):
        super().__init__(num_envs)
        self.groups = self.groups[:1]

    def reset(self, seed):
        super().reset(seed)
        self.max_steps = 3 + np.arange(self.num_envs)

    def step(self, actions):
        return super().step({**actions, "chooser": self.index[..., None]})

    def observe(self, view):
        return {"wheeled": super().observe(view)["wheeled"]}


def mirror(model):
    """Make a policy's command what it sees, before smoothing."""
    weights = next(tensor for tensor in model.graph.initializer if tensor.name == "weights")
    weights.CopyFrom(numpy_helper.from_array(np.eye(2, dtype=np.float32), "weights"))


def perfect(env):
    return {"wheeled": env.wanted, "chooser": env.index[..., None]}


def test_figures_of_whole_episodes():
    figures = episodes.run(Echo(8), perfect, 20, seed=1)
    assert figures["return"].shape == (20, 3)
    np.testing.assert_allclose(figures["return"], 5.0)


def test_long_episodes_are_not_left_out():
    """While one environment plays an episode of eight steps, the other plays two: the first of each count first."""

    class Uneven(Wheels):
        def reset(self, seed):
            super().reset(seed)
            self.max_steps = np.array([3, 8])

    def act(env):
        return {"wheeled": env.wanted}

    for count, lengths in ((2, [3, 8]), (3, [3, 8, 3]), (4, [3, 8, 3, 8])):
        np.testing.assert_allclose(episodes.run(Uneven(2), act, count, seed=1)["return"][:, 0], lengths)


def test_every_robot_remembers_for_itself_and_forgets_at_its_episodes_end(tmp_path):
    """Against one loaded file for each robot, on episodes that do not end together."""
    terms = [PreviousAction(2)]
    path = write_policy(tmp_path / "p.onnx", observation=terms, action=DRIVE, recurrent=True, edit=mirror)
    env = Wheels(3)
    act = episodes.PolicyFiles({"wheeled": Policy.load(path)})
    own = {robot: Policy.load(path) for robot in np.ndindex(3, 2)}
    compared = []

    class Watched:
        def __call__(self, env):
            commands, seen = act(env), env.observe("student")["wheeled"]
            for robot, policy in own.items():
                if env.steps[robot[0]] == 0:
                    policy.reset()
                np.testing.assert_array_equal(commands["wheeled"][robot], policy(seen[robot]))
            compared.append(np.abs(commands["wheeled"]).max())
            return commands

        def forget(self, ended):
            act.forget(ended)

    assert episodes.run(env, Watched(), 6, seed=1)["return"].shape == (6, 3)
    assert max(compared) > 0.1
    assert len(compared) == 10


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
