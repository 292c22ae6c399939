"""SMAX as a batched task: micromanagement of a team of units against heuristic enemies."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping
from pathlib import Path
from types import ModuleType
from typing import Annotated, ClassVar, Literal

import msgspec
import numpy as np

from kdmarl_core.contract import Discrete, KdmarlError, Readings, Swarm, Term, observe
from kdmarl_core.contract.simulator_terms import ActionMask, Vector
from kdmarl_core.envs.base import EXPERT, STUDENT, BatchedEnv, Group, Step, any_of
from kdmarl_core.envs.task import TaskConfig

Count = Annotated[int, msgspec.Meta(ge=1)]
POSITION = slice(1, 3)
"""Of a unit, relative to the agent, among the unit's features."""
TYPE = slice(7, None)
"""One-hot, so that zeros mean a unit that is not seen."""


class Sight(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How many of the units within its sight range an agent sees; None: all of them."""

    allies: Count | None = None
    """that many of the nearest; each stands in the place it always has, with zeros for the others"""
    enemies: Count | None = None
    """likewise; that others can be attacked still shows in the action mask"""


class SmaxConfig(TaskConfig, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="smax"):
    """The task as written in a config file."""

    evaluation_revision: ClassVar[Mapping[str, str]] = {"order": "rounds"}
    """Battles differ in length: since this revision, which of them count does not depend on that any more."""

    scenario: str
    """one that jaxmarl knows, such as 2s3z"""
    max_steps: Count = 100
    """as jaxmarl counts: a battle is cut off after one more"""
    observations: dict[Literal["expert", "student"], Sight] = {}
    """view → what it sees of the units in sight; all of them by default"""

    def sight(self, view: str) -> Sight:
        """What ``view`` sees."""
        return self.observations.get(view, Sight())  # type: ignore[call-overload]

    @property
    def name(self) -> str:
        """The scenarios' names are those of SMAC's maps."""
        return f"smax_{self.scenario}"

    @property
    def measured_in(self) -> str:
        """Always jaxmarl itself."""
        return f"{self.name} of jaxmarl"

    def types(self, folder: Path) -> Collection[str]:
        """Unit types of the team."""
        return {name for name, _ in self.units()}

    def env(self, folder: Path, num_envs: int, swarm: Swarm | None = None) -> BatchedEnv:
        """See :class:`Smax`."""
        self.refuse_swarm(swarm)
        return Smax(self, num_envs)

    def units(self) -> list[tuple[str, int]]:
        """Unit types of the team with their counts, in the order of the agents.

        Raises:
            KdmarlError: there is no such scenario, or jaxmarl is not installed.
        """
        found: list[tuple[str, int]] = simulator().team(self.scenario)
        return found


def simulator() -> ModuleType:
    """The module that needs jax.

    Raises:
        KdmarlError: jaxmarl, or a package that it needs, is not installed.
    """
    try:
        from kdmarl_core.envs.smax import simulator as module
    except ModuleNotFoundError as error:
        raise KdmarlError(
            f"task smax: {error.name} is not installed; pip install kdmarl_ros[smax], with Python 3.11 or newer"
        ) from None
    return module


class Smax(BatchedEnv):
    """Battles of JaxMARL's SMAX; see :class:`BatchedEnv` for the interface. Nothing is there before :meth:`reset`.

    Units of one type form a group where the scenario fixes the types, all units form the group ``ally`` where they are
    drawn for each battle. Actions are numbered as in SMAX: four moves, stop, then an attack on each enemy; one that is
    not available does nothing. All agents earn the same, dead ones too. The central state of an agent is SMAX's world
    state and a one-hot vector of the agent's place. A battle ends (``terminated``) when a side is dead.

    Episode figures: ``return``; ``win_rate``, 1 if all enemies are dead and an ally lives; ``focus_fire``, the share of
    an agent's attacks whose target was attacked by another ally in the same step (NaN without attacks).

    Args:
        config: the task.
        num_envs: B.

    Raises:
        KdmarlError: there is no such scenario, or jaxmarl is not installed.
    """

    def __init__(self, config: SmaxConfig, num_envs: int) -> None:
        self.config = config
        types = config.units()
        self._simulator = simulator().simulator(config.scenario, config.max_steps)
        env = self._simulator.env
        self.num_envs, self.num_agents, self.max_steps = num_envs, env.num_allies, config.max_steps + 1
        self.control_period = env.world_steps_per_env_step * env.time_per_step
        self._moves, self._actions = env.num_movement_actions, env.num_ally_actions
        terms: list[Term] = [Vector(env.obs_size), ActionMask(self._actions)]
        bounds = itertools.pairwise(itertools.accumulate((count for _, count in types), initial=0))
        self.groups = tuple(
            Group(name, slice(*bound), {EXPERT: terms, STUDENT: terms}, Discrete(self._actions))
            for (name, _), bound in zip(types, bounds, strict=True)
        )
        shape = (num_envs, self.num_agents)
        self._return = np.zeros(num_envs)
        self._attacks, self._joint_attacks = np.zeros(shape), np.zeros(shape)
        self._ended, self._whole = np.zeros(num_envs, bool), np.ones(num_envs, bool)
        # No battle is begun, since that compiles for seconds, and some ask for groups and sizes only.
        self.state_sizes = {group.name: env.state_size + self.num_agents for group in self.groups}

    def reset(self, seed: int) -> None:
        """Start B new battles from ``seed``."""
        words = np.random.SeedSequence(seed).generate_state(2 * self.num_envs + 1)
        self._rng = np.random.default_rng(int(words[-1]))
        self._keys, self._states = self._simulator.start(words[:-1].reshape(-1, 2))
        self._ended[:] = True
        self._begun()

    def reset_ended(self) -> None:
        """Start new battles where the last step ended one."""
        if self._ended.any():
            self._keys, self._states = self._simulator.restart(self._keys, self._states, self._ended)
            self._begun()

    def _begun(self) -> None:
        """Take notice of battles that began where others had ended."""
        self._view = self._simulator.look(self._states)
        for tally in (self._return, self._attacks, self._joint_attacks):
            tally[self._ended] = 0
        self._whole[self._ended] = True
        self._ended[:] = False

    def desynchronize(self) -> None:
        """Give the running battles different ages, by random actions and early ends."""
        ends = self._rng.integers(0, self.max_steps, self.num_envs)
        for age in range(self.max_steps):
            self._act(any_of(self._view.available, self._rng))
            self._ended |= ends == age
            self.reset_ended()
        self._whole[:] = False

    def step(self, actions: dict[str, np.ndarray]) -> Step:
        """Advance by 0.5 s.

        Raises:
            KdmarlError: an action's number is out of range.
        """
        chosen = np.concatenate([actions[group.name][..., 0] for group in self.groups], 1).astype(np.int32)
        if chosen.min() < 0 or chosen.max() >= self._actions:
            wrong = chosen.min() if chosen.min() < 0 else chosen.max()
            raise KdmarlError(f"{self.config.scenario}: action {wrong} does not exist; give 0 to {self._actions - 1}")
        reward = self._act(chosen)
        allies, enemies = np.split(self._view.alive, [self.num_agents], 1)
        some_ally, some_enemy = np.asarray(allies.any(1)), np.asarray(enemies.any(1))
        terminated = ~(some_ally & some_enemy)
        counted = self._ended & self._whole
        won = (some_ally & ~some_enemy)[counted]
        with np.errstate(invalid="ignore"):  # an agent that never attacked
            focus_fire = self._joint_attacks[counted] / self._attacks[counted]
        each = np.ones(self.num_agents)
        return Step(
            np.repeat(reward[:, None], self.num_agents, 1),
            self._ended & terminated,
            self._ended & ~terminated,
            {
                "return": np.outer(self._return[counted], each),
                "win_rate": np.outer(won, each),
                "focus_fire": focus_fire,
            },
        )

    def _act(self, chosen: np.ndarray) -> np.ndarray:
        """Take actions (B, N); the team's rewards (B,) float32."""
        self._count_attacks(chosen)
        self._keys, self._states, reward = self._simulator.advance(self._keys, self._states, chosen.astype(np.int32))
        self._view = self._simulator.look(self._states)
        self._ended = self._view.ended.copy()
        self._return += reward
        return reward

    def _count_attacks(self, chosen: np.ndarray) -> None:
        possible = np.take_along_axis(self._view.available, chosen[..., None], -1)[..., 0] > 0
        attacks = possible & (chosen >= self._moves)
        same = (chosen[:, :, None] == chosen[:, None]) & attacks[:, :, None] & attacks[:, None]
        self._attacks += attacks
        self._joint_attacks += same.sum(-1) > 1  # everybody who attacks has one target with itself

    def observe(self, view: str) -> dict[str, np.ndarray]:
        """Group → observation (B, n, O) float32 as ``view`` sees it now."""
        units = self._seen(self.config.sight(view))
        vector = np.concatenate([units.reshape(*units.shape[:2], -1), self._view.own], -1)
        return {
            group.name: observe(
                group.observation[view],
                Readings(vector=vector[:, group.agents], available=self._view.available[:, group.agents]),
            )
            for group in self.groups
        }

    def _seen(self, sight: Sight) -> np.ndarray:
        """(B, N, U, F) features of the other units, with zeros for those that ``sight`` leaves out."""
        allies, enemies = np.split(self._view.units, [self.num_agents - 1], 2)
        if sight == Sight():
            return self._view.units
        return np.concatenate([_nearest(allies, sight.allies), _nearest(enemies, sight.enemies)], 2)

    def state(self) -> dict[str, np.ndarray]:
        """Group → central state (B, n, S) float32: SMAX's world state, and which agent this is."""
        who = np.broadcast_to(np.eye(self.num_agents, dtype=np.float32), (self.num_envs, *[self.num_agents] * 2))
        world = np.repeat(self._view.world[:, None], self.num_agents, 1).astype(np.float32)
        states = np.concatenate([world, who], -1)
        return {group.name: states[:, group.agents] for group in self.groups}


def _nearest(units: np.ndarray, count: int | None) -> np.ndarray:
    """Units (..., U, F) with zeros for all but the nearest ``count`` that are seen; None leaves all."""
    if count is None:
        return units
    x, y = np.moveaxis(units[..., POSITION], -1, 0)
    distance = np.where(units[..., TYPE].any(-1), np.hypot(x, y), np.inf)
    rank = distance.argsort(-1, kind="stable").argsort(-1)
    return np.where((rank < count)[..., None], units, 0)
