"""Task ``navigation``: each robot drives to its own goal among obstacles and the others."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
import numpy as np

from kdmarl_core.contract import (
    KdmarlError,
    Readings,
    RobotType,
    Scan,
    Swarm,
    Term,
    history_length,
    load_robot_types,
    observe,
)
from kdmarl_core.contract.manifest import Domain
from kdmarl_core.contract.spaces import NonNegative, Positive
from kdmarl_core.contract.terms import Lidar, Neighbors, RangeSensors
from kdmarl_core.envs.base import EXPERT, STUDENT, BatchedEnv, Group, Step
from kdmarl_core.envs.robots import kernels, layouts

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
FloatRange = tuple[NonNegative, NonNegative]
IntRange = tuple[Annotated[int, msgspec.Meta(ge=0)], Annotated[int, msgspec.Meta(ge=0)]]
SUBSTEPS = 2
BEYOND = 0.2
"""Rays are cast this much farther than a sensor reaches, so that noise at its limit works both ways [m]."""
NORMALS = 1 << 20
"""Normal numbers drawn in advance."""
NEIGHBOR_DISCS = 4
"""How many of the nearest pillars the critics are told of."""


def _ordered(name: str, pair: tuple[float, float]) -> None:
    if pair[0] > pair[1]:
        raise ValueError(f"{name} is [{pair[0]}, {pair[1]}]; give [lowest, highest]")


class Reward(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Weights of a robot's reward in one step."""

    progress: float = 2.0
    """for each metre nearer to the goal"""
    at_goal: float = 0.05
    """for each step at the goal"""
    collision: float = -10.0
    """when it begins to touch anything"""
    contact: float = -0.05
    """for each step that it touches"""
    close: float = -0.2
    """for each step, rising from 0 at ``close_gap`` from a wall or pillar to this at contact"""
    close_gap: Positive = 0.15
    """[m]"""
    crowd: float = -0.3
    """for each step, rising from 0 at ``crowd_gap`` from another robot to this at contact"""
    crowd_gap: Positive = 0.35
    """[m]"""
    course: float = -0.2
    """for each step on which its own motion will lead to a touch with another robot: times its share of its top
    speed, falling to 0 at ``course_time`` before and at ``course_gap`` between them when they pass"""
    course_gap: Positive = 0.3
    """[m]"""
    course_time: Positive = 2.0
    """[s]"""
    turning: float = -0.01
    """for the squared change of the commanded yaw rate, as a share of its limit"""
    restless: float = -0.05
    """for the commanded speed at the goal, as a share of its limit"""
    first_caution: Share = 0.25
    """share of collision, contact, close, crowd and course at the beginning of training, so that robots dare to move"""
    caution_ramp: Share = 0.5
    """share of the training after which they have their full weight"""


class Randomization(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Drawn anew for every robot and episode, uniformly between lowest and highest."""

    noise: FloatRange = (0.0, 0.03)
    """standard deviation of distances [m]"""
    dropout: tuple[Share, Share] = (0.0, 0.1)
    """chance that a robot gets no new scan in a step and sees the last one"""
    delay: FloatRange = (0.0, 0.15)
    """from command to motion [s]"""
    gain: tuple[Positive, Positive] = (0.95, 1.05)
    """true speed for a commanded speed of 1"""
    odometry_noise: FloatRange = (0.0, 0.02)
    """standard deviation of measured speeds [m/s, rad/s]"""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            _ordered(name, getattr(self, name))


class NavigationConfig(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="navigation"
):
    """The task as written in a config file."""

    robot_types: str
    """YAML file of robot types, relative to the config file"""
    team: dict[str, Annotated[int, msgspec.Meta(ge=1, le=64)]]
    """robot type → number of robots"""
    observations: dict[str, dict[str, list[Term]]]
    """view → robot type → terms"""
    control_period: Positive = 0.1
    """[s]"""
    max_steps: Annotated[int, msgspec.Meta(ge=1)] = 300
    goal_tolerance: Positive = 0.3
    """distance at which a robot counts as at its goal [m]"""
    arena: tuple[Positive, Positive] = (7.0, 9.5)
    """side of the square arena [m]"""
    discs: IntRange = (2, 8)
    """number of pillars"""
    disc_radius: tuple[Positive, Positive] = (0.12, 0.45)
    """[m]"""
    walls: IntRange = (0, 2)
    """number of inner walls"""
    crossing: Share = 0.6
    """share of episodes in which robots start on the rim and go to its far side"""
    margin: Positive = 0.4
    """free space around starts and goals [m]"""
    privileged_beams: Annotated[int, msgspec.Meta(ge=8, le=4096)] = 120
    """beams of the lidar that simulation lends to robots without one"""
    privileged_range: Positive = 3.5
    """its range [m]"""
    reward: Reward = Reward()
    randomization: Randomization = Randomization()

    def __post_init__(self) -> None:
        if not self.team:
            raise ValueError("team has no robots; name at least one robot type")
        for name in (EXPERT, STUDENT):
            if not all(self.observations.get(name, {}).get(robot_type) for robot_type in self.team):
                raise ValueError(f"observations.{name} must list terms for {', '.join(self.team)}")
        for name in ("arena", "discs", "disc_radius", "walls"):
            _ordered(name, getattr(self, name))
        if self.randomization.delay[1] > 2 * self.control_period:
            raise ValueError(
                f"randomization.delay is up to {self.randomization.delay[1]} s; at most two control periods"
            )


class _Rays(NamedTuple):
    """One group's beams."""

    angle_min: float
    increment: float
    cos: np.ndarray
    sin: np.ndarray
    range: float
    """cast this far [m]"""
    min_range: float
    cones: list[np.ndarray]
    """beams of each range sensor"""


class Navigation(BatchedEnv):
    """The navigation task; see :class:`BatchedEnv` for the interface.

    Episode figures: ``success`` (at the goal at the end), ``collisions``, ``return``, ``time_to_goal``
    [s] (NaN when not at the goal at the end), ``clearance`` (least gap to anything) [m].

    Args:
        config: the task.
        folder: where ``config.robot_types`` is relative to.
        num_envs: B.
        swarm: take the arena, starts and goals from this swarm file instead of drawing them.

    Raises:
        KdmarlError: a type is unknown, or a student's terms need a sensor that its robot lacks.
    """

    def __init__(self, config: NavigationConfig, folder: Path, num_envs: int, swarm: Swarm | None = None) -> None:
        types = load_robot_types(folder / config.robot_types)
        team = _team_of(swarm) if swarm else config.team
        for name in team:
            if name not in types:
                raise KdmarlError(
                    f"task.team: '{name}' is not in {config.robot_types} ({', '.join(types)}); add it there"
                )
        self.config = config
        self.robot_types = {name: types[name] for name in team}
        self.num_envs, self.num_agents = num_envs, sum(team.values())
        self.max_steps, self.control_period = config.max_steps, config.control_period
        self.groups = tuple(_groups(config, self.robot_types, team))
        self._swarm = swarm
        self._rays = {group.name: _rays(self.robot_types[group.name], config) for group in self.groups}
        per_agent = [self.robot_types[group.name] for group in self.groups for _ in range(group.count)]
        self._radius = np.array([robot.radius for robot in per_agent])
        self._acceleration = np.array([robot.action.acceleration for robot in per_agent], np.float64)
        self._limits = np.array([robot.action.high for robot in per_agent], np.float64)
        self.state_sizes = {group.name: self._state_size() for group in self.groups}
        self._allocate()
        self.set_progress(1.0)
        self.reset(0)

    def set_progress(self, done: float) -> None:
        """Collisions and near ones cost little at the beginning of training and their full weight later."""
        weights = self.config.reward
        ramp = min(1.0, done / weights.caution_ramp) if weights.caution_ramp else 1.0
        self._caution = weights.first_caution + ramp * (1 - weights.first_caution)

    def _allocate(self) -> None:
        envs, agents = self.num_envs, self.num_agents
        inner_walls = max(
            self.config.walls[1], len(self._swarm.world.walls) if self._swarm and self._swarm.world else 0
        )
        n_discs = max(self.config.discs[1], len(self._swarm.world.discs) if self._swarm and self._swarm.world else 0, 1)
        self.pose = np.zeros((envs, agents, 3))
        self.velocity = np.zeros((envs, agents, 2))
        self.goal = np.zeros((envs, agents, 2))
        self.discs = np.zeros((envs, n_discs, 3))
        self.walls = np.full((envs, 4 + inner_walls, 4), np.nan)
        self.gap, self.robot_gap, self.obstacle_gap = (np.zeros((envs, agents)) for _ in range(3))
        self._commands = np.zeros((3, envs, agents, 2))
        self._delay = np.zeros((envs, agents), np.int64)
        self._gain = np.ones((envs, agents, 2))
        self._noise, self._dropout, self._odometry_noise = (np.zeros((envs, agents)) for _ in range(3))
        self._ranges = {group.name: self._no_ranges(group) for group in self.groups}
        longest = max(ranges[0].size for ranges in self._ranges.values())
        self._normals = np.random.default_rng(0).standard_normal(max(NORMALS, 4 * longest), np.float32)
        self._odometry = np.zeros((envs, agents, 2), np.float32)
        self._steps = np.zeros(envs, np.int64)
        self._touching = np.zeros((envs, agents), bool)
        self._collisions, self._return, self._clearance, self._arrival = (np.zeros((envs, agents)) for _ in range(4))
        self._ended, self._whole = np.zeros(envs, bool), np.ones(envs, bool)

    def _no_ranges(self, group: Group) -> np.ndarray:
        """(age, B, n, beams) true distances with noise, the present first."""
        ages = 1 + max(history_length(terms) for terms in group.observation.values())
        return np.zeros((ages, self.num_envs, group.count, self._rays[group.name].cos.size), np.float32)

    @property
    def domain(self) -> dict[str, Domain]:
        """Group → where its policy is trained."""
        config, team = self.config, self.num_agents
        return {
            group.name: Domain(
                radius=(self.robot_types[group.name].radius,) * 2,
                team_size=(team, team),
                arena=config.arena,
                sensor_noise=config.randomization.noise,
                action_delay=config.randomization.delay,
                other_speed=float(self._limits[:, 0].max()),
            )
            for group in self.groups
        }

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
        if self._swarm:
            self._place_swarm(self._swarm, chosen)
        else:
            config = self.config
            placed = layouts.sample(
                self._rng,
                chosen,
                config.arena,
                config.discs,
                config.disc_radius,
                config.walls,
                config.crossing,
                config.margin,
                self._radius,
                self.pose,
                self.goal,
                self.discs,
                self.walls,
            )
            if not placed:
                raise KdmarlError(
                    f"task.arena: {self.num_agents} robots find no free starts and goals in a side of "
                    f"{config.arena[0]:g} to {config.arena[1]:g} m; enlarge it, or lower margin, discs or team"
                )
        self._randomize(chosen)
        self.velocity[chosen] = 0
        self._commands[:, chosen] = 0
        self._steps[chosen] = 0
        self._whole[chosen] = True
        self._touching[chosen] = False
        for figure in (self._collisions, self._return):
            figure[chosen] = 0
        self._clearance[chosen] = np.inf
        self._arrival[chosen] = np.nan
        self._ended[:] = False
        self._sense(chosen)

    def _randomize(self, chosen: np.ndarray) -> None:
        ranges, shape = self.config.randomization, (chosen.size, self.num_agents)
        self._noise[chosen] = self._rng.uniform(*ranges.noise, shape)
        self._dropout[chosen] = self._rng.uniform(*ranges.dropout, shape)
        self._odometry_noise[chosen] = self._rng.uniform(*ranges.odometry_noise, shape)
        self._gain[chosen] = self._rng.uniform(*ranges.gain, (*shape, 2))
        substep = self.control_period / SUBSTEPS
        low, high = (round(delay / substep) for delay in ranges.delay)
        self._delay[chosen] = self._rng.integers(low, high, shape, endpoint=True)

    def _place_swarm(self, swarm: Swarm, chosen: np.ndarray) -> None:
        if swarm.world is None:
            raise KdmarlError(f"{swarm.path}: has no world; a simulator needs its size")
        ordered = [robot for group in self.groups for robot in swarm.robots if robot.type == group.name]
        half_x, half_y = (side / 2 for side in swarm.world.size)
        corners = [(-half_x, -half_y), (half_x, -half_y), (half_x, half_y), (-half_x, half_y)]
        boundary = [(*corners[k], *corners[(k + 1) % 4]) for k in range(4)]
        self.pose[chosen] = [robot.pose for robot in ordered]
        self.goal[chosen] = [robot.goal for robot in ordered]
        self.discs[chosen] = 0
        for index, disc in enumerate(swarm.world.discs):
            self.discs[chosen, index] = disc
        self.walls[chosen] = np.nan
        for index, wall in enumerate(boundary + swarm.world.walls):
            self.walls[chosen, index] = wall

    def step(self, actions: dict[str, np.ndarray]) -> Step:
        """Advance by one control period; actions are clipped to the limits."""
        self._commands = np.roll(self._commands, 1, axis=0)
        for group in self.groups:
            low, high = group.action.low, group.action.high  # type: ignore[union-attr]
            self._commands[0][:, group.agents] = np.clip(actions[group.name], low, high)
        before = self._goal_distance()
        kernels.advance(
            self.pose,
            self.velocity,
            self._commands,
            self._delay,
            self._gain,
            self._acceleration,
            self._radius,
            self.discs,
            self.walls,
            self.control_period / SUBSTEPS,
            SUBSTEPS,
            self.robot_gap,
            self.obstacle_gap,
        )
        self.gap = np.minimum(self.robot_gap, self.obstacle_gap)
        self._steps += 1
        after = self._goal_distance()
        touching = self.gap < kernels.CONTACT
        collided = touching & ~self._touching
        self._touching = touching | (self._touching & (self.gap < kernels.REARM))
        reward = self._reward(before, after, touching, collided)
        at_goal = after <= self.config.goal_tolerance
        self._collisions += collided
        self._return += reward
        np.minimum(self._clearance, self.gap, out=self._clearance)
        now = np.broadcast_to((self._steps * self.control_period)[:, None], at_goal.shape)
        self._arrival = np.where(at_goal, np.where(np.isnan(self._arrival), now, self._arrival), np.nan)
        self._ended = self._steps >= self.max_steps
        self._sense(None)
        episodes = {
            "success": at_goal,
            "collisions": self._collisions,
            "return": self._return,
            "time_to_goal": self._arrival,
            "clearance": self._clearance,
        }
        return Step(
            reward.astype(np.float32),
            np.zeros(self.num_envs, bool),
            self._ended.copy(),
            {name: figure[self._ended & self._whole].astype(np.float64) for name, figure in episodes.items()},
        )

    def _goal_distance(self) -> np.ndarray:
        offset = self.goal - self.pose[..., :2]
        return np.hypot(offset[..., 0], offset[..., 1])

    def _reward(self, before: np.ndarray, after: np.ndarray, touching: np.ndarray, collided: np.ndarray) -> np.ndarray:
        """(B, N) reward of this step."""
        weights = self.config.reward
        at_goal = after <= self.config.goal_tolerance
        command = self._commands[0] / self._limits
        turn = command[..., 1] - self._commands[1][..., 1] / self._limits[:, 1]
        close = np.clip(1 - self.obstacle_gap / weights.close_gap, 0, 1)
        crowd = np.clip(1 - self.robot_gap / weights.crowd_gap, 0, 1)
        danger = (
            weights.collision * collided
            + weights.contact * touching
            + weights.close * close
            + weights.crowd * crowd
            + weights.course * self._on_course()
        )
        return (
            weights.progress * (before - after)
            + weights.at_goal * at_goal
            + self._caution * danger
            + weights.turning * turn**2
            + weights.restless * at_goal * np.abs(command).sum(-1)
        )

    def _on_course(self) -> np.ndarray:
        """(B, N) from 0 to 1: how soon and how near present motion brings another robot, times one's own speed."""
        weights = self.config.reward
        urgency = np.empty((self.num_envs, self.num_agents))
        kernels.on_course(
            self.pose, self._ground_velocity(), self._radius, weights.course_gap, weights.course_time, urgency
        )
        return urgency * np.abs(self.velocity[..., 0]) / self._limits[:, 0]

    def _ground_velocity(self) -> np.ndarray:
        """(B, N, 2) along the world's x and y [m/s]."""
        yaw = self.pose[..., 2]
        return self.velocity[..., :1] * np.stack([np.cos(yaw), np.sin(yaw)], -1)

    def _sense(self, fresh: np.ndarray | None) -> None:
        """Take new readings; ``fresh`` lists environments that must not keep an old scan (None: drop at random).

        With ``fresh`` only those environments are read.
        """
        which = slice(None) if fresh is None else fresh
        pose, discs, walls = self.pose[which], self.discs[which], self.walls[which]
        for group in self.groups:
            rays = self._rays[group.name]
            shape = (pose.shape[0], group.count, rays.cos.size)
            ranges = np.empty(shape, np.float32)
            kernels.cast(
                pose,
                self._radius,
                group.agents.start,
                group.agents.stop,
                discs,
                walls,
                rays.angle_min,
                rays.increment,
                rays.cos,
                rays.sin,
                rays.range + BEYOND,
                ranges,
            )
            ranges += self._normal(shape) * self._noise[which, group.agents][..., None].astype(np.float32)
            if fresh is None:
                lost = self._rng.random((pose.shape[0], group.count)) < self._dropout[:, group.agents]
                ranges[lost] = self._ranges[group.name][0][lost]
            self._remember(group.name, which, ranges, fresh is not None)
        error = self._rng.standard_normal(self.velocity[which].shape) * self._odometry_noise[which][..., None]
        self._odometry[which] = self.velocity[which] + error

    def _normal(self, shape: tuple[int, int, int]) -> np.ndarray:
        """Standard normal numbers, float32: a random stretch of a long list, as drawing so many each step is slow."""
        size = math.prod(shape)
        start = int(self._rng.integers(0, self._normals.size - size))
        return self._normals[start : start + size].reshape(shape)

    def _remember(self, name: str, which: slice | np.ndarray, ranges: np.ndarray, new_episode: bool) -> None:
        """Put new distances in front of the older ones; a new episode has no older ones."""
        kept = self._ranges[name]
        if new_episode:
            kept[:, which] = ranges
        else:
            kept[1:] = kept[:-1].copy()
            kept[0] = ranges

    def _ranging(self, group: Group, age: int) -> Readings:
        """Scan and range sensors ``age`` control periods ago."""
        rays, ranges = self._rays[group.name], self._ranges[group.name][age]
        cones = [ranges[..., cone].min(-1) for cone in rays.cones]
        return Readings(
            scan=Scan(ranges, rays.angle_min, rays.increment, rays.min_range, rays.range),
            ranges=np.stack(cones, -1) if cones else None,
        )

    def _readings(self, group: Group, terms: list[Term]) -> Readings:
        """What the sensors of a group give; the other robots' poses only if a term asks for them."""
        agents = group.agents
        sees_others = any(isinstance(term, Neighbors) for term in terms)
        offset = self.goal[:, agents] - self.pose[:, agents, :2]
        now, *history = (self._ranging(group, age) for age in range(len(self._ranges[group.name])))
        return now._replace(
            history=tuple(history),
            goal=_rotate(offset, self.pose[:, agents, 2]),
            velocity=self._odometry[:, agents],
            neighbors=self._neighbors(agents) if sees_others else None,
            previous_action=self._commands[0][:, agents],
        )

    def _neighbors(self, agents: slice) -> np.ndarray:
        """(B, n, N − 1, 6) poses, ground velocities and radii of the other robots in each robot's frame."""
        relative = self.pose[:, None, :, :] - self.pose[:, agents, None, :]
        yaw = (relative[..., 2] + math.pi) % (2 * math.pi) - math.pi
        own_yaw = self.pose[:, agents, None, 2]
        velocity = _rotate(self._ground_velocity()[:, None], own_yaw)
        radius = np.broadcast_to(self._radius[:, None], (*yaw.shape, 1))
        rows = np.concatenate([_rotate(relative[..., :2], own_yaw), yaw[..., None], velocity, radius], -1)
        others = ~np.eye(self.num_agents, dtype=bool)[agents]
        return rows[:, others].reshape(self.num_envs, others.shape[0], self.num_agents - 1, 6)

    def observe(self, view: str) -> dict[str, np.ndarray]:
        """Group → observation (B, n, O) float32 as ``view`` sees it now."""
        observations = {}
        for group in self.groups:
            terms = group.observation[view]
            observations[group.name] = observe(terms, self._readings(group, terms))
        return observations

    def _state_size(self) -> int:
        return 9 * (self.num_agents - 1) + 3 * NEIGHBOR_DISCS

    def state(self) -> dict[str, np.ndarray]:
        """Group → central state (B, n, S) float32, seen from each agent."""
        return {group.name: self._group_state(group.agents) for group in self.groups}

    def _group_state(self, agents: slice) -> np.ndarray:
        """(B, n, S): the other robots' poses, velocities, radii and goals and the nearest pillars, robot frame."""
        envs, count = self.num_envs, agents.stop - agents.start
        others = ~np.eye(self.num_agents, dtype=bool)[agents]

        def of_others(values: np.ndarray) -> np.ndarray:
            """(B, N, k) → (B, n, N − 1, k)."""
            wide = np.broadcast_to(values[:, None], (envs, count, *values.shape[1:]))
            return wide[:, others].reshape(envs, count, self.num_agents - 1, -1)

        yaw = self.pose[:, agents, None, 2]
        xy, turned, motion = np.split(self._neighbors(agents), (2, 3), -1)
        goals = _rotate(of_others(self.goal) - self.pose[:, agents, None, :2], yaw)
        robots = np.concatenate([xy, np.cos(turned), np.sin(turned), motion, goals], -1)
        offset = self.discs[:, None, :, :2] - self.pose[:, agents, None, :2]
        distance = np.where(self.discs[:, None, :, 2] > 0, np.hypot(offset[..., 0], offset[..., 1]), np.inf)
        order = np.argsort(distance, -1)[..., :NEIGHBOR_DISCS]
        near = np.take_along_axis(_rotate(offset, yaw), order[..., None], 2)
        size = np.take_along_axis(np.broadcast_to(self.discs[:, None, :, 2], distance.shape), order, 2)[..., None]
        pillars = np.zeros((envs, count, NEIGHBOR_DISCS, 3))
        pillars[:, :, : order.shape[-1]] = np.where(size > 0, np.concatenate([near, size], -1), 0)
        return np.concatenate([robots.reshape(envs, count, -1), pillars.reshape(envs, count, -1)], -1).astype(
            np.float32
        )


def _rotate(offset: np.ndarray, yaw: np.ndarray) -> np.ndarray:
    """World offsets (..., 2) into frames turned by ``yaw`` (...)."""
    cos, sin = np.cos(yaw), np.sin(yaw)
    x, y = offset[..., 0], offset[..., 1]
    return np.stack([cos * x + sin * y, cos * y - sin * x], -1)


def _team_of(swarm: Swarm) -> dict[str, int]:
    """Robot type → number of robots in a swarm file."""
    team: dict[str, int] = {}
    for robot in swarm.robots:
        team[robot.type] = team.get(robot.type, 0) + 1
    return team


def _groups(config: NavigationConfig, types: dict[str, RobotType], team: dict[str, int]) -> list[Group]:
    groups, start = [], 0
    for name, count in team.items():
        observation = {}
        for view, terms in config.observations.items():
            if name not in terms:  # a swarm file may bring types that the team has not
                raise KdmarlError(f"task.observations.{view}: has no terms for robot type '{name}'; add them")
            observation[view] = terms[name]
        _check_sensors(name, types[name], observation.get(STUDENT, []))
        groups.append(Group(name, slice(start, start + count), observation, types[name].action))
        start += count
    return groups


def _check_sensors(name: str, robot: RobotType, terms: list[Term]) -> None:
    """A student sees through its robot's own sensors only."""
    ring = robot.sensors.range_sensors
    for term in terms:
        if isinstance(term, Lidar) and robot.sensors.lidar is None:
            raise KdmarlError(f"task.observations.student.{name}: has a lidar term, the robot has no lidar; remove it")
        reach = robot.sensors.lidar if isinstance(term, Lidar) else ring if isinstance(term, RangeSensors) else None
        if reach and isinstance(term, Lidar | RangeSensors) and term.range > reach.range:
            raise KdmarlError(
                f"task.observations.student.{name}: a term reaches {term.range} m, the sensor {reach.range} m; lower it"
            )
        if isinstance(term, RangeSensors) and (ring is None or len(ring.bearings) != term.count):
            count = len(ring.bearings) if ring else 0
            raise KdmarlError(f"task.observations.student.{name}: {term.count} range sensors, the robot has {count}")


def _rays(robot: RobotType, config: NavigationConfig) -> _Rays:
    lidar, ring = robot.sensors.lidar, robot.sensors.range_sensors
    if lidar:
        angle_min, increment, beams = lidar.angle_min, lidar.angle_increment, lidar.beams
        reach, nearest = lidar.range, lidar.min_range
    else:
        beams, reach, nearest = config.privileged_beams, config.privileged_range, 0.0
        angle_min, increment = -math.pi, 2 * math.pi / beams
    angles = angle_min + increment * np.arange(beams)
    cones = []
    for bearing in ring.bearings if ring else ():
        away = np.abs((angles - bearing + math.pi) % (2 * math.pi) - math.pi)
        cone = np.flatnonzero(away <= ring.fov / 2 + 1e-6)  # type: ignore[union-attr]
        if cone.size == 0:
            raise KdmarlError(
                f"a range sensor at {bearing} rad meets none of {beams} rays; raise task.privileged_beams"
            )
        cones.append(cone)
    cos, sin = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
    return _Rays(angle_min, increment, cos, sin, reach, nearest, cones)
