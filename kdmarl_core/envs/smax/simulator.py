"""B battles of JaxMARL's SMAX against its heuristic enemies, compiled; the only module that imports jax.

Rutherford et al., "JaxMARL: Multi-Agent RL Environments and Algorithms in JAX" (arXiv 2311.10090); after Samvelyan
et al., "The StarCraft Multi-Agent Challenge" (arXiv 1902.04043).
"""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

os.environ.setdefault("JAX_PLATFORMS", "cpu")  # small arrays that torch reads after every step

# jaxmarl leaves both as they were when Python started; they are put back.
with contextlib.redirect_stdout(sys.stdout), contextlib.redirect_stderr(sys.stderr):
    import jax
    import jax.numpy as jnp
    from jaxmarl.environments.smax import HeuristicEnemySMAX
    from jaxmarl.environments.smax.smax_env import MAP_NAME_TO_SCENARIO

from kdmarl_core.contract import KdmarlError
from kdmarl_core.errors import did_you_mean


class View(NamedTuple):
    """What is to be known of B battles now."""

    units: np.ndarray
    """(B, N, U, F) the other units' features as each agent sees them, allies first; zeros where one is not seen"""
    own: np.ndarray
    """(B, N, G) its own features"""
    available: np.ndarray
    """(B, N, A) which actions it may choose: 1, or 0 where not"""
    world: np.ndarray
    """(B, W) the world state"""
    alive: np.ndarray
    """(B, units) allies first"""
    ended: np.ndarray
    """(B,) one side is dead, or time is up"""


def team(scenario: str) -> list[tuple[str, int]]:
    """Unit types of the allies with their counts, in their order; ``ally`` where types are drawn for each battle.

    Raises:
        KdmarlError: jaxmarl has no such scenario.
    """
    if scenario not in MAP_NAME_TO_SCENARIO:
        hint = did_you_mean(scenario, MAP_NAME_TO_SCENARIO)
        hint = hint if hint.startswith("did") else f"jaxmarl has {', '.join(MAP_NAME_TO_SCENARIO)}"
        raise KdmarlError(f"task.scenario: unknown scenario '{scenario}'; {hint}")
    described = MAP_NAME_TO_SCENARIO[scenario]
    if described.smacv2_unit_type_generation:
        return [("ally", described.num_allies)]
    names = HeuristicEnemySMAX(scenario=described).unit_type_names
    types = np.asarray(described.unit_types)[: described.num_allies].tolist()
    return [(names[kind], len(list(units))) for kind, units in itertools.groupby(types)]


@lru_cache(maxsize=8)
def simulator(scenario: str, max_steps: int) -> Simulator:
    """The simulator of a scenario; one for all its users, since compiling takes seconds."""
    return Simulator(scenario, max_steps)


class Simulator:
    """Compiled functions of one scenario over any number of battles; ``env`` is jaxmarl's environment.

    Keys are (B, 2) uint32, the random numbers of each battle; states are jaxmarl's, with a leading B.
    """

    def __init__(self, scenario: str, max_steps: int) -> None:
        self.env = HeuristicEnemySMAX(scenario=MAP_NAME_TO_SCENARIO[scenario], max_steps=max_steps)
        self._restart = jax.jit(jax.vmap(self._restart_one))
        self._advance = jax.jit(jax.vmap(self._advance_one))
        self._look = jax.jit(jax.vmap(self._look_one))

    def start(self, keys: np.ndarray) -> tuple[Any, Any]:
        """New battles; returns keys and states."""
        shapes = jax.eval_shape(jax.vmap(self._new), keys)[1]
        nothing = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)
        return self.restart(keys, nothing, np.ones(len(keys), bool))

    def restart(self, keys: Any, states: Any, ended: np.ndarray) -> tuple[Any, Any]:
        """New battles where ``ended`` (B,); returns keys and states."""
        found: tuple[Any, Any] = self._restart(keys, states, ended)
        return found

    def advance(self, keys: Any, states: Any, actions: np.ndarray) -> tuple[Any, Any, np.ndarray]:
        """One step with actions (B, N); returns keys, states and the team's rewards (B,). Nothing starts anew."""
        keys, states, reward = self._advance(keys, states, actions)
        return keys, states, np.array(reward)

    def look(self, states: Any) -> View:
        """What is to be known of the states."""
        return View(*(np.asarray(part) for part in self._look(states)))

    def _new(self, key: Any) -> tuple[Any, Any]:
        key, own = jax.random.split(key)
        _, state = self.env.reset(own)
        return key, _strong(state)

    def _restart_one(self, key: Any, state: Any, ended: Any) -> tuple[Any, Any]:
        return jax.tree.map(lambda new, old: jnp.where(ended, new, old), self._new(key), (key, state))

    def _advance_one(self, key: Any, state: Any, actions: Any) -> tuple[Any, Any, Any]:
        key, own = jax.random.split(key)
        chosen = {agent: actions[index] for index, agent in enumerate(self.env.agents)}
        # Its ``step`` would start the next battle at once, and the last state would be lost.
        _, state, reward, _, _ = self.env.step_env(own, state, chosen)
        return key, _strong(state), reward[self.env.agents[0]]

    def _look_one(self, state: Any) -> View:
        env = self.env
        seen = jnp.stack([env.get_obs(state)[agent] for agent in env.agents])
        size = len(env.own_features)
        units = seen[:, :-size].reshape(len(env.agents), -1, len(env.unit_features))
        available = env.get_avail_actions(state)
        return View(
            units,
            seen[:, -size:],
            jnp.stack([available[agent] for agent in env.agents]),
            env.get_world_state(state),
            state.state.unit_alive,
            state.state.done,
        )


def _strong(state: Any) -> Any:
    """The same with fixed types: some are weak after a reset and not after a step, which would compile twice."""
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.asarray(x).dtype), state)
