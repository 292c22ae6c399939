"""Any PettingZoo parallel environment as a batch of ours; for the other way see :mod:`kdmarl_core.envs.parallel_view`.

Interface: PettingZoo ``utils/env.py``, ``ParallelEnv``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from gymnasium import spaces

from kdmarl_core.contract import (
    ActionSpace,
    Continuous,
    Discrete,
    KdmarlError,
    Term,
    action_mask,
    observation_size,
)
from kdmarl_core.contract.simulator_terms import ActionMask, Vector
from kdmarl_core.envs.base import EXPERT, STUDENT, BatchedEnv, Group, Step, seen_by_others
from kdmarl_core.envs.pettingzoo_copies import Recipe
from kdmarl_core.envs.pettingzoo_processes import OneProcess, Processes
from kdmarl_core.envs.pettingzoo_spaces import action_of, agents_of, spaces_of
from kdmarl_core.errors import naming


class PettingZooEnv(BatchedEnv):
    """B copies of a parallel environment, stepped one after the other in each of some processes.

    Agents must be the same in every episode, observe vectors, and choose among numbered actions or give numbers between
    limits. They may observe
    {"observation": vector, "action_mask": which actions are available}, as SMAC's and SMACv2's wrapper gives it
    (https://github.com/oxwhirl/smac, ``smac/env/pettingzoo``); this is tested with a small environment of that
    interface, not with StarCraft II itself. One that is out
    before the others keeps its last observation, earns nothing, and its actions are ignored. Both views see what
    the environment gives; subclasses may show them other things. The central state of an agent is what it gives
    all others. Episodes depend on the seed, their copy's and their own number only. Episode figure: ``return``.

    Args:
        make: makes one copy; a :class:`Recipe` where there are more processes than this one.
        num_envs: B.
        max_steps: an episode that is not over by then is cut off.
        types: agent → type; None: the agent's name without the number at its end, and where agents of such a type
            differ in their spaces, those that are alike are a type of the first one's name.
        control_period: [s]; PettingZoo knows none.
        processes: that step the copies, this one among them; what they give does not depend on it.

    Raises:
        KdmarlError: agents of one type differ, a space is of a kind that is not supported, or there is not a copy for
            each process. Then or later: a copy raises, or begins an episode with observations that are missing, not
            finite, or not shaped as their space; with several processes, whatever goes wrong in them.
    """

    def __init__(
        self,
        make: Callable[[], Any],
        num_envs: int,
        max_steps: int,
        types: Mapping[str, str] | None = None,
        control_period: float = 0.1,
        processes: int = 1,
    ) -> None:
        self.num_envs, self.max_steps, self.control_period = num_envs, max_steps, control_period
        self._copies = _copies(make, num_envs, processes)
        self.copies = list(self._copies.made.values())
        """those in this process, the first ones"""
        with naming(self._copies.where):
            by_type = _by_type(self.copies[0], agents_of(self.copies[0]), types)
            actions = {kind: action_of(self.copies[0], kind, members) for kind, members in by_type.items()}
        self.agents = [name for members in by_type.values() for name in members]
        """their names, in the order of all arrays"""
        self._places = {agent: place for place, agent in enumerate(self.agents)}
        self.num_agents = len(self.agents)
        self._seen: list[dict[str, np.ndarray]] = [{} for _ in range(num_envs)]
        self._episode = np.zeros(num_envs, np.int64)
        self._steps = np.zeros(num_envs, np.int64)
        self._ended, self._whole = np.ones(num_envs, bool), np.ones(num_envs, bool)
        self._figures = {"return": np.zeros((num_envs, self.num_agents))}
        self._seed = 0
        self.reset_ended()
        self.groups = tuple(self._groups(by_type, actions))
        self._actions = [group.action for group in self.groups for _ in range(group.count)]
        masks = [(group.count, action_mask(group.observation[EXPERT], group.action)) for group in self.groups]
        self._masks = [mask for count, mask in masks for _ in range(count)]
        self.state_sizes = {name: state.shape[-1] for name, state in self.state().items()}

    def _groups(self, by_type: dict[str, list[str]], actions: dict[str, ActionSpace]) -> list[Group]:
        groups: list[Group] = []
        for kind, members in by_type.items():
            start = groups[-1].agents.stop if groups else 0
            masked = isinstance(self.copies[0].observation_space(members[0]), spaces.Dict)
            action = actions[kind]
            mask: list[Term] = [ActionMask(action.n)] if masked and isinstance(action, Discrete) else []
            observation: dict[str, list[Term]] = {
                view: [Vector(self.show(0, members[0], view).size - observation_size(mask)), *mask]
                for view in (EXPERT, STUDENT)
            }
            groups.append(Group(kind, slice(start, start + len(members)), observation, actions[kind]))
        return groups

    def show(self, index: int, agent: str, view: str) -> np.ndarray:
        """What an agent of copy ``index`` sees through ``view``, (O,); an action mask stands at the end."""
        return self._seen[index][agent]

    def tally(self, index: int, figures: dict[str, np.ndarray]) -> None:
        """After a step of copy ``index``, bring ``figures`` (figure → (B, N)) up to date; for subclasses."""

    def reset(self, seed: int) -> None:
        """Start B new episodes from ``seed``."""
        self._seed = seed
        self._episode[:] = 0
        self._ended[:] = True
        self.reset_ended()

    def reset_ended(self) -> None:
        """Start new episodes where the last step ended one."""
        self._begin(np.flatnonzero(self._ended).tolist())
        self._ended[:] = False

    def close(self) -> None:
        """Close the copies and end the processes that step them, which otherwise end with this object."""
        self._copies.close()

    def _begin(self, indices: list[int]) -> None:
        """Start the next episode in these copies."""
        seeds = {}
        for index in indices:
            sequence = np.random.SeedSequence([self._seed, index, int(self._episode[index])])
            seeds[index] = int(sequence.generate_state(1)[0])
        for index, moment in self._copies.reset(seeds).items():
            self._seen[index] = moment.seen
        self._episode[indices] += 1
        self._steps[indices] = 0
        self._whole[indices] = True
        for figure in self._figures.values():
            figure[indices] = 0

    def desynchronize(self) -> None:
        """Give the running episodes different ages, by random actions."""
        rng = np.random.default_rng(self._seed)
        ages = rng.integers(0, self.max_steps, self.num_envs)
        for age in range(ages.max()):
            kept = self._ended.copy()
            running = np.flatnonzero(ages > age).tolist()
            self._act({index: self._any_choices(index, rng) for index in running})
            self._begin([index for index in running if self._ended[index]])
            self._ended = kept
        self._whole[ages > 0] = False

    def _any_choices(self, index: int, rng: np.random.Generator) -> list[Any]:
        """An available action of each agent of copy ``index``, at random."""
        discrete = iter(rng.integers([space.n for space in self._actions if isinstance(space, Discrete)] or [1]))
        choices: list[Any] = []
        for agent, space, mask in zip(self.agents, self._actions, self._masks, strict=True):
            if isinstance(space, Continuous):
                choices.append(rng.uniform(space.low, space.high).astype(np.float32))
                continue
            choice = next(discrete)
            choices.append(int(rng.choice(np.flatnonzero(self._seen[index][agent][mask]))) if mask else int(choice))
        return choices

    def step(self, actions: dict[str, np.ndarray]) -> Step:
        """Step every copy."""
        reward, terminated = self._act({index: self._choices(actions, index) for index in range(self.num_envs)})
        counted = self._ended & self._whole
        return Step(
            reward,
            terminated,
            self._ended & ~terminated,
            {name: figure[counted].astype(np.float64) for name, figure in self._figures.items()},
        )

    def _choices(self, actions: dict[str, np.ndarray], index: int) -> list[Any]:
        """The actions of copy ``index``, agent by agent, as its action spaces have them."""
        choices: list[Any] = []
        for group in self.groups:
            rows = actions[group.name][index]
            if isinstance(group.action, Continuous):
                choices += list(np.clip(rows, group.action.low, group.action.high).astype(np.float32))
            else:
                choices += [int(row[0]) for row in rows]
        return choices

    def _act(self, choices: Mapping[int, list[Any]]) -> tuple[np.ndarray, np.ndarray]:
        """Step each copy of ``choices`` with one action for each agent.

        Returns:
            Rewards (B, N), and (B,) whether the episode ended in a state without a future.
        """
        reward = np.zeros((self.num_envs, self.num_agents), np.float32)
        terminated = np.zeros(self.num_envs, bool)
        chosen = {index: dict(zip(self.agents, each, strict=True)) for index, each in choices.items()}
        for index, moment in self._copies.step(chosen).items():
            self._seen[index] = {**self._seen[index], **moment.seen}
            for agent, value in moment.reward.items():
                reward[index, self._places[agent]] = value
            self._steps[index] += 1
            self._ended[index] = moment.over or self._steps[index] >= self.max_steps
            self._figures["return"][index] += reward[index]
            self.tally(index, self._figures)
            terminated[index] = moment.over and not moment.truncated
        return reward, terminated

    def observe(self, view: str) -> dict[str, np.ndarray]:
        """Group → observation (B, n, O) float32 as ``view`` sees it now."""
        return self._gather(lambda index, agent: self.show(index, agent, view))

    def state(self) -> dict[str, np.ndarray]:
        """Group → central state (B, n, S) float32: what the environment gives all others."""
        return seen_by_others(self._gather(lambda index, agent: self._seen[index][agent]), self.groups)

    def _gather(self, seen: Callable[[int, str], np.ndarray]) -> dict[str, np.ndarray]:
        """Group → (B, n, ·) float32 of what is seen in a copy by an agent."""
        copies = range(self.num_envs)
        return {
            group.name: np.array(
                [[seen(index, agent) for agent in self.agents[group.agents]] for index in copies], np.float32
            )
            for group in self.groups
        }


def _copies(make: Callable[[], Any], num_envs: int, processes: int) -> OneProcess | Processes:
    if not 1 <= processes <= num_envs:
        raise KdmarlError(f"processes is {processes}; give 1 to {num_envs}, as there are copies to share out")
    if processes > 1:
        if not isinstance(make, Recipe):
            raise KdmarlError(f"processes is {processes}, and only a Recipe can be made in others; give one, or 1")
        return Processes(make, num_envs, processes)
    return OneProcess(make, num_envs)


def _by_type(env: Any, agents: list[str], types: Mapping[str, str] | None) -> dict[str, list[str]]:
    """Type → its agents, as given or by their names and spaces."""
    found: dict[str, list[str]] = {}
    for agent in agents:
        if types is not None and agent not in types:
            raise KdmarlError(f"types: agent '{agent}' has none; name the types of {', '.join(types)} and of it")
        found.setdefault(types[agent] if types else agent.rstrip("0123456789").rstrip("_") or agent, []).append(agent)
    if types is not None:
        return found
    split: dict[str, list[str]] = {}
    for kind, members in found.items():
        alike: list[list[str]] = []
        for agent in members:
            place = next((each for each in alike if spaces_of(env, each[0]) == spaces_of(env, agent)), None)
            if place is None:
                alike.append(place := [])
            place.append(agent)
        split |= {kind: members} if len(alike) == 1 else {each[0]: each for each in alike}
    return split
