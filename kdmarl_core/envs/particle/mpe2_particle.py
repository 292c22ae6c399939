"""The same tasks on mpe2 itself: what is reported of them is measured here."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # mpe2 draws with pygame, which greets on stdout

from mpe2 import simple_reference_v3, simple_speaker_listener_v4, simple_spread_v3, simple_tag_v3
from mpe2.simple_spread.simple_spread import Scenario as Spread
from mpe2.simple_tag.simple_tag import Scenario as Tag
from pettingzoo.utils import BaseParallelWrapper

from kdmarl_core.envs.base import EXPERT, STUDENT
from kdmarl_core.envs.particle.config import ParticleConfig
from kdmarl_core.envs.particle.prey import flee
from kdmarl_core.envs.particle.scenarios import CAPTURE_RADIUS, Sight
from kdmarl_core.envs.pettingzoo import PettingZooEnv

MODULES = {
    "simple_spread": simple_spread_v3,
    "simple_speaker_listener": simple_speaker_listener_v4,
    "simple_reference": simple_reference_v3,
    "simple_tag": simple_tag_v3,
}


class Mpe2Particle(PettingZooEnv):
    """B copies of a task of mpe2, with the groups, observations and figures of :class:`Particle`.

    A view that does not see everything is built by mpe2's own options in simple_spread and simple_tag; elsewhere it has
    none, and landmarks that are not seen are struck out of its full observation.

    Args:
        config: the task.
        num_envs: B.
    """

    def __init__(self, config: ParticleConfig, num_envs: int) -> None:
        self.config = config
        self._scenarios = {view: _limited(config.scenario, config.sight(view)) for view in (EXPERT, STUDENT)}
        super().__init__(lambda: make(config), num_envs, config.max_steps)
        self._figures |= {name: np.zeros((num_envs, self.num_agents)) for name in config.build().figures}

    def show(self, index: int, agent: str, view: str) -> np.ndarray:
        """What an agent of copy ``index`` sees through ``view``, (O,) float32."""
        sight = self.config.sight(view)
        if sight == Sight():
            return self._seen[index][agent]
        if self.config.scenario in ("simple_speaker_listener", "simple_reference"):
            return _strike_out(self._seen[index][agent], sight.landmarks)
        world = self.copies[index].unwrapped.world
        return self._scenarios[view].observation(_find(world, agent), world).astype(np.float32)

    def tally(self, index: int, figures: dict[str, np.ndarray]) -> None:
        """Landmarks that are covered now, and collisions so far; or whether the prey was touched."""
        world = self.copies[index].unwrapped.world
        if "win_rate" in figures:
            figures["win_rate"][index] = figures["return"][index] > 0
            return
        for place, name in enumerate(self.agents):
            agent = _find(world, name)
            if self.config.scenario == "simple_spread":
                _, collisions, _, occupied = self._scenarios[EXPERT].benchmark_data(agent, world)
                figures["collisions"][index, place] += collisions
                figures["covered"][index, place] = occupied / len(world.landmarks)
            else:
                figures["covered"][index, place] = _at_target(agent, world)


def make(config: ParticleConfig) -> Any:
    """The task as a parallel environment of mpe2, where everything is seen."""
    options: dict[str, Any] = {"max_cycles": config.max_steps}
    if config.local_ratio is not None:
        options["local_ratio"] = config.local_ratio
    if config.scenario == "simple_spread":
        options["N"] = config.agents or 3
    env = MODULES[config.scenario].parallel_env(**options)
    return Hunt(env) if config.scenario == "simple_tag" else env


class Hunt(BaseParallelWrapper):
    """simple_tag for the hunters; the prey flees by its rule.

    Args:
        env: of mpe2.
    """

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self.possible_agents = [name for name in env.possible_agents if name.startswith("adversary")]

    @property
    def agents(self) -> list[str]:
        """The hunters, until the episode is over."""
        return [name for name in self.env.agents if name in self.possible_agents]

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """What the hunters see at the start."""
        return tuple(map(self._of_hunters, self.env.reset(seed=seed, options=options)))

    def step(self, actions: dict[str, int]) -> Any:
        """Step with the hunters' actions."""
        agents = self.unwrapped.world.agents
        position, velocity = (np.array([[getattr(one.state, key) for one in agents]]) for key in ("p_pos", "p_vel"))
        fleeing = [name for name in self.env.agents if name not in self.possible_agents]
        moves = flee(position, velocity, len(self.possible_agents), agents[-1].accel)[0]
        found = self.env.step({**actions, **dict(zip(fleeing, moves.tolist(), strict=True))})
        return tuple(map(self._of_hunters, found))

    def _of_hunters(self, values: dict[str, Any]) -> dict[str, Any]:
        return {name: values[name] for name in self.possible_agents if name in values}


def _limited(scenario: str, sight: Sight) -> Any:
    """mpe2's scenario as one view sees it; several views look at one world this way."""
    kind = Tag if scenario == "simple_tag" else Spread
    return kind(num_agent_neighbors=sight.neighbors, num_landmark_neighbors=sight.landmarks)


def _find(world: Any, name: str) -> Any:
    return next(agent for agent in world.agents if agent.name == name)


def _strike_out(seen: np.ndarray, landmarks: int | None) -> np.ndarray:
    """Zeros for all but the nearest landmarks, which follow the velocity; a speaker sees a colour only."""
    if landmarks is None or seen.size == 3:
        return seen
    seen = seen.copy()
    places = seen[2:8].reshape(3, 2)
    order = np.argsort(np.hypot(places[:, 0], places[:, 1]))
    places[order[landmarks:]] = 0
    return seen


def _at_target(agent: Any, world: Any) -> bool:
    """Whether an agent is where its partner wants it, or the partner is if only that one has a target."""
    guide = next((other for other in world.agents if other._goal_a is agent), agent)
    return bool(np.linalg.norm(guide.goal_a.state.p_pos - guide.goal_b.state.p_pos) < CAPTURE_RADIUS)
