"""A tiny team task for tests of trainers: each agent must output the command that its observation shows."""

from __future__ import annotations

import numpy as np

from kdmarl_core.contract import DiffDrive, Discrete, KdmarlError
from kdmarl_core.contract.simulator_terms import ActionMask, Vector
from kdmarl_core.contract.terms import PreviousAction
from kdmarl_core.envs.base import EXPERT, STUDENT, BatchedEnv, Group, Step

DRIVE = DiffDrive((-1.0, 1.0), (-2.0, 2.0), 1.0, 1.0)


class _Toy(BatchedEnv):
    """Three agents; ``_show`` draws their next observations."""

    def reset(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.steps = np.zeros(self.num_envs, int)
        self.returns = np.zeros((self.num_envs, 3))
        self._show()

    def desynchronize(self) -> None:
        self.steps = self.rng.integers(0, self.max_steps, self.num_envs)

    def reset_ended(self) -> None:
        self.steps[self.ended] = 0
        self.returns[self.ended] = 0


class Echo(_Toy):
    """Two ``wheeled`` agents match a shown command, one ``chooser`` picks the shown index; 5 steps per episode."""

    def __init__(self, num_envs: int) -> None:
        self.num_envs, self.num_agents, self.max_steps, self.control_period = num_envs, 3, 5, 0.1
        wheeled, chooser = [PreviousAction(2)], [PreviousAction(3)]
        self.groups = (
            Group("wheeled", slice(0, 2), {EXPERT: wheeled, STUDENT: wheeled}, DRIVE),
            Group("chooser", slice(2, 3), {EXPERT: chooser, STUDENT: chooser}, Discrete(3)),
        )
        self.state_sizes = {"wheeled": 1, "chooser": 1}
        self.reset(0)

    def _show(self) -> None:
        self.wanted = self.rng.uniform(DRIVE.low, DRIVE.high, (self.num_envs, 2, 2)).astype(np.float32)
        self.index = self.rng.integers(0, 3, (self.num_envs, 1))

    def step(self, actions: dict[str, np.ndarray]) -> Step:
        miss = np.abs(actions["wheeled"] - self.wanted).sum(-1)
        hit = (actions["chooser"][..., 0] == self.index).astype(float)
        reward = np.concatenate([1 - miss, hit], -1).astype(np.float32)
        self.steps += 1
        self.returns += reward
        self.ended = self.steps >= self.max_steps
        self._show()
        episodes = {"return": self.returns[self.ended].copy(), "success": (self.returns[self.ended] > 3).astype(float)}
        return Step(reward, np.zeros(self.num_envs, bool), self.ended, episodes)

    def observe(self, view: str) -> dict[str, np.ndarray]:
        return {"wheeled": self.wanted, "chooser": np.eye(3, dtype=np.float32)[self.index]}

    def state(self) -> dict[str, np.ndarray]:
        return {
            "wheeled": np.zeros((self.num_envs, 2, 1), np.float32),
            "chooser": np.zeros((self.num_envs, 1, 1), np.float32),
        }


class Doors(_Toy):
    """Two ``walker`` and one ``runner`` choose among four doors, of which one to four are open; 5 steps per episode.

    The door's number is the reward. A closed one cannot be chosen. The mask stands amidst other large values.
    """

    def __init__(self, num_envs: int) -> None:
        self.num_envs, self.num_agents, self.max_steps, self.control_period = num_envs, 3, 5, 0.1
        terms = [Vector(2), ActionMask(4), PreviousAction(1)]
        places = {"walker": slice(0, 2), "runner": slice(2, 3)}
        self.groups = tuple(
            Group(name, place, {EXPERT: terms, STUDENT: terms}, Discrete(4)) for name, place in places.items()
        )
        self.state_sizes = {"walker": 4, "runner": 4}
        self.reset(0)

    def _show(self) -> None:
        closed = self.rng.random((self.num_envs, 3, 4)) < 0.5
        closed[..., 0] &= ~closed.all(-1)
        self.open = ~closed
        self.noise = self.rng.normal(0, 100, (self.num_envs, 3, 3)).astype(np.float32)

    def step(self, actions: dict[str, np.ndarray]) -> Step:
        chosen = np.concatenate([actions["walker"], actions["runner"]], 1).astype(int)
        if not np.take_along_axis(self.open, chosen, -1).all():
            raise KdmarlError("a closed door was chosen")
        reward = chosen[..., 0].astype(np.float32)
        self.steps += 1
        self.returns += reward
        self.ended = self.steps >= self.max_steps
        self._show()
        return Step(reward, np.zeros(self.num_envs, bool), self.ended, {"return": self.returns[self.ended].copy()})

    def observe(self, view: str) -> dict[str, np.ndarray]:
        seen = np.concatenate([self.noise[..., :2], self.open, self.noise[..., 2:]], -1).astype(np.float32)
        return {group.name: seen[:, group.agents] for group in self.groups}

    def state(self) -> dict[str, np.ndarray]:
        return {group.name: self.open[:, group.agents].astype(np.float32) for group in self.groups}


class Cue(Echo):
    """The wanted command stays the same for an episode; students see it in the first step only."""

    def _show(self) -> None:
        kept = None if not self.steps.any() else (self.wanted, self.index)
        super()._show()
        if kept:
            begins = self.steps >= self.max_steps
            self.wanted = np.where(begins[:, None, None], self.wanted, kept[0])
            self.index = np.where(begins[:, None], self.index, kept[1])

    def observe(self, view: str) -> dict[str, np.ndarray]:
        hidden = (self.steps > 0) & (view == STUDENT)
        shown = super().observe(view)
        return {name: np.where(hidden[:, None, None], 0, x).astype(np.float32) for name, x in shown.items()}


def perfect_expert(env):
    """A team policy that outputs exactly the shown command."""
    import torch  # tests of the contract import this module without torch

    from kdmarl_core.expert.distributions import Categorical, SquashedGaussian
    from kdmarl_core.expert.networks import NetworkConfig
    from kdmarl_core.expert.policies import make_policy

    expert = make_policy("decentralized", env.groups, NetworkConfig(hidden=(32,)))

    def forward(observation):
        unit = (observation["wheeled"] / torch.from_numpy(DRIVE.high)).clamp(-0.98, 0.98)
        return {
            "wheeled": SquashedGaussian(torch.atanh(unit), torch.full_like(unit, -2.0)),
            "chooser": Categorical(observation["chooser"] * 8),
        }

    expert.forward = forward
    return expert
