"""Tasks ``simple_spread``, ``simple_speaker_listener``, ``simple_reference`` and ``simple_tag`` of MPE, batched."""

from __future__ import annotations

import numpy as np

from kdmarl_core.contract import Discrete, KdmarlError, Term
from kdmarl_core.contract.simulator_terms import Vector
from kdmarl_core.envs.base import EXPERT, STUDENT, BatchedEnv, Group, Step, seen_by_others
from kdmarl_core.envs.particle import kernels
from kdmarl_core.envs.particle.config import ParticleConfig
from kdmarl_core.envs.particle.prey import flee
from kdmarl_core.envs.particle.scenarios import DIRECTIONS, MOVES, Kind, Scenario, Sight, World


class Particle(BatchedEnv):
    """The MPE tasks; see :class:`BatchedEnv` for the interface.

    Agents of one type form a group: ``agent``, ``speaker`` and ``listener``, or ``adversary``. Actions are numbered as
    in mpe2. ``world`` is the state, which may be set. The central state of an agent is what all others see.

    Episode figures: ``return``; ``covered``, the share of all landmarks with an agent at the end, or whether an
    agent is at its target (the speaker: whether its listener is); for simple_spread ``collisions``, how many others
    an agent overlapped, summed over steps, as it is charged for. Instead of those, simple_tag has ``win_rate``,
    whether the prey was touched at all.

    Args:
        config: the task.
        num_envs: B.
    """

    def __init__(self, config: ParticleConfig, num_envs: int) -> None:
        self.config = config
        self.scenario = config.build()
        self.num_envs, self.num_agents = num_envs, self.scenario.agents
        self.max_steps, self.control_period = config.max_steps, kernels.STEP
        self.groups = tuple(_groups(config, self.scenario))
        self._local_ratio = 0.5 if config.local_ratio is None else config.local_ratio
        self._radius, self._max_speed = self.scenario.each("radius"), self.scenario.each("max_speed")
        shape = (num_envs, self.num_agents)
        self.world = World(
            position=np.zeros((num_envs, len(self._radius), 2)),
            velocity=np.zeros((num_envs, len(self._radius), 2)),
            landmarks=np.zeros((num_envs, self.scenario.landmarks, 2)),
            target=np.full(shape, -1),
            spoken=np.zeros((*shape, self.scenario.words), np.float32),
        )
        self._steps = np.zeros(num_envs, np.int64)
        self._return, self._collisions = np.zeros(shape), np.zeros(shape)
        self._ended, self._whole = np.zeros(num_envs, bool), np.ones(num_envs, bool)
        self.reset(0)
        self.state_sizes = {name: state.shape[-1] for name, state in self.state().items()}

    def reset(self, seed: int) -> None:
        """Start B new episodes from ``seed``."""
        self._rng = np.random.Generator(np.random.SFC64(seed))
        self._ended[:] = True
        self.reset_ended()

    def desynchronize(self) -> None:
        """Give the running episodes different ages."""
        self._steps[:] = self._rng.integers(0, self.max_steps, self.num_envs)
        self._whole[:] = False

    def reset_ended(self) -> None:
        """Start new episodes where the last step ended one."""
        chosen = np.flatnonzero(self._ended)
        if chosen.size == 0:
            return
        world = self.world
        shape, far = (chosen.size, self.scenario.landmarks, 2), self.scenario.landmark_range
        world.position[chosen] = self._rng.uniform(-1, 1, (chosen.size, len(self._radius), 2))
        world.landmarks[chosen] = self._rng.uniform(-far, far, shape)
        for kind, group in zip(self.scenario.kinds, self.groups, strict=True):
            if len(self.scenario.colours) and kind.moves:
                targets = self._rng.integers(0, self.scenario.landmarks, (chosen.size, group.count))
                world.target[chosen, group.agents] = targets
        world.velocity[chosen] = 0
        world.spoken[chosen] = 0
        self._steps[chosen] = 0
        self._return[chosen] = 0
        self._collisions[chosen] = 0
        self._whole[chosen] = True
        self._ended[:] = False

    def step(self, actions: dict[str, np.ndarray]) -> Step:
        """Advance by 0.1 s.

        Raises:
            KdmarlError: an action's number is out of range.
        """
        world = self.world
        force = np.zeros(world.position.shape)
        for kind, group in zip(self.scenario.kinds, self.groups, strict=True):
            word, move = self._decode(actions[group.name], kind)
            if kind.moves:
                force[:, group.agents] = kind.force * DIRECTIONS[move]
            if kind.speaks:
                world.spoken[:, group.agents] = np.eye(self.scenario.words, dtype=np.float32)[word]
        if prey := self.scenario.prey:
            moves = flee(world.position, world.velocity, self.num_agents, prey.force)
            force[:, self.num_agents :] = prey.force * DIRECTIONS[moves]
        kernels.advance(
            world.position,
            world.velocity,
            force,
            self._radius,
            self._max_speed,
            self.scenario.contact,
            world.landmarks,
            self.scenario.obstacle_radius,
        )
        verdict = self.scenario.judge(self.scenario, world, self._local_ratio)
        self._steps += 1
        self._return += verdict.reward
        self._collisions += verdict.touches
        self._ended = self._steps >= self.max_steps
        known = {"covered": verdict.covered, "collisions": self._collisions, "win_rate": self._return > 0}
        figures = {"return": self._return, **{name: known[name] for name in self.scenario.figures}}
        counted = self._ended & self._whole
        return Step(
            verdict.reward.astype(np.float32),
            np.zeros(self.num_envs, bool),
            self._ended.copy(),
            {name: figure[counted].astype(np.float64) for name, figure in figures.items()},
        )

    def _decode(self, actions: np.ndarray, kind: Kind) -> tuple[np.ndarray, np.ndarray]:
        """Word and move, each (B, n), of actions (B, n, 1)."""
        index = actions[..., 0].astype(np.int64)
        count = self.scenario.actions(kind)
        if index.min() < 0 or index.max() >= count:
            raise KdmarlError(
                f"{kind.name}: action {index.min() if index.min() < 0 else index.max()} does not exist; "
                f"give 0 to {count - 1}"
            )
        word, move = np.divmod(index, MOVES if kind.moves else 1)
        return word, move

    def observe(self, view: str) -> dict[str, np.ndarray]:
        """Group → observation (B, n, O) float32 as ``view`` sees it now."""
        return self._observe(self.config.sight(view))

    def state(self) -> dict[str, np.ndarray]:
        """Group → central state (B, n, S) float32: what all others would see with nothing hidden."""
        return seen_by_others(self._observe(Sight()), self.groups)

    def _observe(self, sight: Sight) -> dict[str, np.ndarray]:
        kinds = zip(self.scenario.kinds, self.groups, strict=True)
        return {group.name: self.scenario.observe(self.world, kind, group.agents.start, sight) for kind, group in kinds}


def _groups(config: ParticleConfig, scenario: Scenario) -> list[Group]:
    groups: list[Group] = []
    for kind in scenario.kinds:
        start = groups[-1].agents.stop if groups else 0
        observation: dict[str, list[Term]] = {
            view: [Vector(scenario.size(kind, config.sight(view)))] for view in (EXPERT, STUDENT)
        }
        action = Discrete(scenario.actions(kind))
        groups.append(Group(kind.name, slice(start, start + kind.count), observation, action))
    return groups
