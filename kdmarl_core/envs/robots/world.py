"""What all robot tasks share: bodies, motion, contacts, sensors, danger, episodes."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from kdmarl_core.contract import KdmarlError, Readings, Swarm, Term, load_robot_types, observe
from kdmarl_core.contract.manifest import Domain
from kdmarl_core.contract.team_terms import needs_neighbors
from kdmarl_core.envs.base import Group, Step
from kdmarl_core.envs.robots import kernels
from kdmarl_core.envs.robots.config import RobotsConfig, pace
from kdmarl_core.envs.robots.hooks import RobotsTask
from kdmarl_core.envs.robots.sensing import Sensors, Surroundings
from kdmarl_core.envs.robots.team import Bases, make_groups, team_of
from kdmarl_core.judge import definitions

SUBSTEPS = 2
NEIGHBOR_DISCS = 4
"""How many of the nearest pillars the critics see."""


class RobotsEnv(RobotsTask):
    """Robots among walls and pillars; a task says where they start and what they are paid for.

    Every episode has the figures ``collisions``, ``return`` and ``clearance`` (least gap to anything) [m]; tasks add
    theirs. What collides, arrives and covers is defined in :mod:`kdmarl_core.judge.definitions`.

    Args:
        config: the task.
        folder: where ``config.robot_types`` is relative to.
        num_envs: B.
        swarm: take the arena and places from this swarm file instead of drawing them.

    Raises:
        KdmarlError: a type is unknown, or a student's terms need a sensor that its robot lacks.
    """

    def __init__(self, config: RobotsConfig, folder: Path, num_envs: int, swarm: Swarm | None = None) -> None:
        types = load_robot_types(folder / config.robot_types)
        team = team_of(swarm) if swarm else config.team
        for name in team:
            if name not in types:
                raise KdmarlError(
                    f"task.team: '{name}' is not in {config.robot_types} ({', '.join(types)}); add it there"
                )
        self.robot_types = {name: types[name] for name in team}
        self.num_envs, self.num_agents = num_envs, sum(team.values())
        self.pace = pace(self.robot_types.values())
        self.max_steps, self.control_period = config.steps(self.pace), config.control_period
        self.groups = tuple(make_groups(config, self.robot_types, team))
        self._common, self._swarm = config, swarm
        per_agent = [self.robot_types[group.name] for group in self.groups for _ in range(group.count)]
        self.radius = np.array([robot.radius for robot in per_agent])
        self._bases = Bases([robot.action for robot in per_agent])
        self.limits, self.turning = self._bases.limits, self._bases.turning
        self._sensors = Sensors(config, self.robot_types, self.groups, num_envs)
        self.allocate()
        self.set_progress(1.0)
        self.reset(0)
        self.state_sizes = {name: state.shape[-1] for name, state in self.state().items()}

    # Episodes

    def set_progress(self, done: float) -> None:
        """Collisions and near ones cost little at the beginning of training and their full weight later."""
        weights = self.danger
        ramp = min(1.0, done / weights.caution_ramp) if weights.caution_ramp else 1.0
        self._caution = weights.first_caution + ramp * (1 - weights.first_caution)

    def allocate(self) -> None:
        """Make the arrays; a task that has more of them extends this."""
        envs, agents = self.num_envs, self.num_agents
        n_discs, inner_walls = self.most_obstacles
        if self._swarm and self._swarm.world:
            n_discs, inner_walls = len(self._swarm.world.discs), len(self._swarm.world.walls)
        self.pose = np.zeros((envs, agents, 3))
        self.velocity = np.zeros((envs, agents, self._bases.values))
        self.body_velocity = np.zeros((envs, agents, 3))
        self.discs = np.zeros((envs, max(n_discs, 1), 3))
        self.walls = np.full((envs, 4 + inner_walls, 4), np.nan)
        self.gap, self.robot_gap, self.obstacle_gap = (np.zeros((envs, agents)) for _ in range(3))
        self.commands = np.zeros((3, envs, agents, self._bases.values))
        self._delay = np.zeros((envs, agents), np.int64)
        self._gain = np.ones((envs, agents, self._bases.values))
        self.steps = np.zeros(envs, np.int64)
        self._touching = np.zeros((envs, agents), bool)
        self._collided = np.zeros((envs, agents), bool)
        self._collisions, self._return, self._clearance = (np.zeros((envs, agents)) for _ in range(3))
        self._ended, self._whole = np.zeros(envs, bool), np.ones(envs, bool)

    @property
    def domain(self) -> dict[str, Domain]:
        """Group → where its policy is trained."""
        config, team = self._common, self.num_agents
        return {
            group.name: Domain(
                radius=(self.robot_types[group.name].radius,) * 2,
                team_size=(team, team),
                arena=config.arena,
                sensor_noise=config.randomization.noise,
                action_delay=config.randomization.delay,
                other_speed=float(self._bases.top_speed.max()),
            )
            for group in self.groups
        }

    def reset(self, seed: int) -> None:
        """Start B new episodes from ``seed``."""
        self.rng = np.random.Generator(np.random.SFC64(seed))
        self._ended[:] = True
        self.reset_ended()

    def desynchronize(self) -> None:
        """Give the running episodes different ages."""
        self.steps[:] = self.rng.integers(0, self.max_steps, self.num_envs)
        self._whole[:] = False

    def reset_ended(self) -> None:
        """Start new episodes where the last step ended one."""
        chosen = np.flatnonzero(self._ended)
        if chosen.size == 0:
            return
        config = self._common
        if self._swarm:
            self._place_world(self._swarm, chosen)
        elif not self.place(chosen):
            raise KdmarlError(
                f"task.arena: {self.num_agents} robots find no free starts and goals in a side of "
                f"{config.arena[0]:g} to {config.arena[1]:g} m; enlarge it, or lower margin, discs or team"
            )
        self._sensors.randomize(self.rng, chosen, config.randomization)
        self._randomize(chosen)
        self.velocity[chosen] = 0
        self.body_velocity[chosen] = 0
        self.commands[:, chosen] = 0
        self.steps[chosen] = 0
        self._whole[chosen] = True
        self._touching[chosen] = False
        for figure in (self._collisions, self._return):
            figure[chosen] = 0
        self._clearance[chosen] = np.inf
        self.begin(chosen)
        self._ended[:] = False
        self._sensors.sense(self.rng, self._surroundings(), chosen)

    def _randomize(self, chosen: np.ndarray) -> None:
        ranges, shape = self._common.randomization, (chosen.size, self.num_agents)
        self._gain[chosen] = self.rng.uniform(*ranges.gain, (*shape, self._bases.values))
        substep = self.control_period / SUBSTEPS
        low, high = (round(delay / substep) for delay in ranges.delay)
        self._delay[chosen] = self.rng.integers(low, high, shape, endpoint=True)

    def _place_world(self, swarm: Swarm, chosen: np.ndarray) -> None:
        if swarm.world is None:
            raise KdmarlError(f"{swarm.path}: has no world; a simulator needs its size")
        self.wall_in(chosen, *swarm.world.size)
        for index, disc in enumerate(swarm.world.discs):
            self.discs[chosen, index] = disc
        for index, wall in enumerate(swarm.world.walls):
            self.walls[chosen, 4 + index] = wall
        ordered = [robot for group in self.groups for robot in swarm.robots if robot.type == group.name]
        self.pose[chosen] = [robot.pose for robot in ordered]
        self.place_swarm(swarm, ordered, chosen)

    def wall_in(self, chosen: np.ndarray, length: float, width: float) -> None:
        """Clear the ``chosen`` arenas and set their sides, ``length`` along x and ``width`` along y [m]."""
        corners = [
            (-length / 2, -width / 2),
            (length / 2, -width / 2),
            (length / 2, width / 2),
            (-length / 2, width / 2),
        ]
        self.discs[chosen] = 0
        self.walls[chosen] = np.nan
        for k in range(4):
            self.walls[chosen, k] = (*corners[k], *corners[(k + 1) % 4])

    def step(self, actions: dict[str, np.ndarray]) -> Step:
        """Advance by one control period; actions are clipped to the limits."""
        self.commands = np.roll(self.commands, 1, axis=0)
        for group in self.groups:
            low, high = group.action.low, group.action.high  # type: ignore[union-attr]
            self.commands[0][:, group.agents, : group.action.size] = np.clip(actions[group.name], low, high)
        before = self.measure()
        self._move()
        self.steps += 1
        reward = self.reward(before, self.measure()) + self._caution * self._danger()
        self._collisions += self._collided
        self._return += reward
        np.minimum(self._clearance, self.gap, out=self._clearance)
        self._ended = self.steps >= self.max_steps
        self._sensors.sense(self.rng, self._surroundings(), None)
        figures = self.task_figures() | {
            "collisions": self._collisions,
            "return": self._return,
            "clearance": self._clearance,
        }
        return Step(
            reward.astype(np.float32),
            np.zeros(self.num_envs, bool),
            self._ended.copy(),
            {name: figure[self._ended & self._whole].astype(np.float64) for name, figure in figures.items()},
        )

    def _move(self) -> None:
        """Drive for one control period; finds gaps and new collisions."""
        kernels.advance(
            self._bases.numbers,
            self.pose,
            self.velocity,
            self.commands,
            self._delay,
            self._gain,
            self._bases.acceleration,
            self.radius,
            self.discs,
            self.walls,
            self.control_period / SUBSTEPS,
            SUBSTEPS,
            self.robot_gap,
            self.obstacle_gap,
        )
        self._bases.move(self.velocity, self.body_velocity)
        self.gap = np.minimum(self.robot_gap, self.obstacle_gap)
        self._collided, self._touching = definitions.collisions(self.gap, self._touching)

    def _danger(self) -> np.ndarray:
        """(B, N) charge of this step at full caution."""
        weights = self.danger
        close = np.clip(1 - self.obstacle_gap / weights.close_gap, 0, 1)
        crowd = np.clip(1 - self.robot_gap / weights.crowd_gap, 0, 1)
        return (
            weights.collision * self._collided
            + weights.contact * definitions.in_contact(self.gap)
            + weights.close * close
            + weights.crowd * crowd
            + weights.course * self._on_course()
        )

    def _on_course(self) -> np.ndarray:
        """(B, N) from 0 to 1: how soon and how near present motion brings another robot, times one's own speed."""
        weights = self.danger
        urgency = np.empty((self.num_envs, self.num_agents))
        kernels.on_course(
            self.pose, self._ground_velocity(), self.radius, weights.course_gap, weights.course_time, urgency
        )
        return urgency * self.ground_speed / self._bases.top_speed

    # What is seen

    def observe(self, view: str) -> dict[str, np.ndarray]:
        """Group → observation (B, n, O) float32 as ``view`` sees it now."""
        observations = {}
        for group in self.groups:
            terms = group.observation[view]
            observations[group.name] = observe(terms, self._readings(group, terms))
        return observations

    def _readings(self, group: Group, terms: list[Term]) -> Readings:
        """What the sensors of a group give; the other robots' poses only if a term asks for them."""
        agents = group.agents
        sees_others = any(needs_neighbors(term) for term in terms)
        readings = self._sensors.readings(group)._replace(
            neighbors=self._neighbors(agents) if sees_others else None,
            previous_action=self.commands[0][:, agents, : group.action.size],
        )
        return self.add_readings(readings, agents)

    def state(self) -> dict[str, np.ndarray]:
        """Group → central state (B, n, S) float32, seen from each agent.

        The other robots' poses, velocities and radii, the nearest pillars, and what the task adds.
        """
        return {group.name: self._group_state(group.agents) for group in self.groups}

    def _group_state(self, agents: slice) -> np.ndarray:
        xy, yaw, motion = np.split(self._neighbors(agents), (2, 3), -1)
        robots = np.concatenate([xy, np.cos(yaw), np.sin(yaw), motion], -1)
        count = agents.stop - agents.start
        parts = [robots, self._pillars(agents), *self.task_state(agents)]
        return np.concatenate([part.reshape(self.num_envs, count, -1) for part in parts], -1).astype(np.float32)

    def _surroundings(self) -> Surroundings:
        velocity = self.body_velocity if self._bases.sideways else self.body_velocity[..., ::2]
        return Surroundings(self.pose, velocity, self.radius, self.discs, self.walls)

    @property
    def ground_speed(self) -> np.ndarray:
        """(B, N) in whatever direction [m/s]."""
        if not self._bases.sideways:
            return np.abs(self.body_velocity[..., 0])
        return np.hypot(self.body_velocity[..., 0], self.body_velocity[..., 1])

    def _ground_velocity(self) -> np.ndarray:
        """(B, N, 2) along the world's x and y [m/s]."""
        yaw = self.pose[..., 2]
        cos, sin = np.cos(yaw), np.sin(yaw)
        ahead = self.body_velocity[..., :1] * np.stack([cos, sin], -1)
        return ahead + self.body_velocity[..., 1:2] * np.stack([-sin, cos], -1) if self._bases.sideways else ahead

    def of_others(self, values: np.ndarray, agents: slice) -> np.ndarray:
        """(B, N, k) of all robots → (B, n, N − 1, k) of the others of each of ``agents``."""
        others = ~np.eye(self.num_agents, dtype=bool)[agents]
        wide = np.broadcast_to(values[:, None], (self.num_envs, others.shape[0], *values.shape[1:]))
        return wide[:, others].reshape(self.num_envs, others.shape[0], self.num_agents - 1, -1)

    def in_frames(self, places: np.ndarray, agents: slice) -> np.ndarray:
        """World positions (B, n or 1, k, 2) in the frames of ``agents``, (B, n, k, 2) [m]."""
        return rotate(places - self.pose[:, agents, None, :2], self.pose[:, agents, None, 2])

    def _neighbors(self, agents: slice) -> np.ndarray:
        """(B, n, N − 1, 6) poses, ground velocities and radii of the other robots in each robot's frame."""
        pose = self.of_others(self.pose, agents)
        own_yaw = self.pose[:, agents, None, 2]
        yaw = (pose[..., 2] - own_yaw + math.pi) % (2 * math.pi) - math.pi
        velocity = rotate(self.of_others(self._ground_velocity(), agents), own_yaw)
        radius = self.of_others(np.broadcast_to(self.radius[:, None], (self.num_envs, self.num_agents, 1)), agents)
        return np.concatenate([self.in_frames(pose[..., :2], agents), yaw[..., None], velocity, radius], -1)

    def _pillars(self, agents: slice) -> np.ndarray:
        """(B, n, k, 3) x, y and radius of the nearest pillars in each robot's frame [m]; zeros where there are none."""
        offset = self.discs[:, None, :, :2] - self.pose[:, agents, None, :2]
        distance = np.where(self.discs[:, None, :, 2] > 0, np.hypot(offset[..., 0], offset[..., 1]), np.inf)
        order = np.argsort(distance, -1)[..., :NEIGHBOR_DISCS]
        near = np.take_along_axis(self.in_frames(self.discs[:, None, :, :2], agents), order[..., None], 2)
        size = np.take_along_axis(np.broadcast_to(self.discs[:, None, :, 2], distance.shape), order, 2)[..., None]
        pillars = np.zeros((*order.shape[:2], NEIGHBOR_DISCS, 3))
        pillars[:, :, : order.shape[-1]] = np.where(size > 0, np.concatenate([near, size], -1), 0)
        return pillars


def rotate(offset: np.ndarray, yaw: np.ndarray) -> np.ndarray:
    """World offsets (..., 2) into frames turned by ``yaw`` (...) [rad]."""
    cos, sin = np.cos(yaw), np.sin(yaw)
    x, y = offset[..., 0], offset[..., 1]
    return np.stack([cos * x + sin * y, cos * y - sin * x], -1)
