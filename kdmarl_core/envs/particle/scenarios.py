"""The cooperative scenarios of mpe2, as data and one judging function each.

Sources: mpe2 1.1, ``simple_spread/simple_spread.py``, ``simple_speaker_listener/simple_speaker_listener.py``,
``simple_reference/simple_reference.py``, ``simple_tag/simple_tag.py`` and ``_mpe_utils/simple_env.py``; first described
by Lowe et al., "Multi-Agent Actor-Critic for Mixed Cooperative-Competitive Environments" (arXiv 1706.02275).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import msgspec
import numpy as np

from kdmarl_core.envs.particle import kernels

DIRECTIONS = np.array([[0, 0], [-1, 0], [1, 0], [0, -1], [0, 1]])
"""Of each move: stay, left, right, down, up (``SimpleEnv._set_action``)."""
MOVES = len(DIRECTIONS)
CAPTURE_RADIUS = 0.1
"""Distance within which a landmark counts as covered (``simple_spread.py``)."""
Part = Literal["velocity", "position", "landmarks", "others", "colour", "heard", "prey_velocity"]
Count = Annotated[int, msgspec.Meta(ge=1)]


class Sight(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How much of the world an agent sees; None: all of it."""

    neighbors: Count | None = None
    """that many of the nearest other agents, nearest first"""
    landmarks: Count | None = None
    """that many of the nearest landmarks: nearest first where all are alike (simple_spread, simple_tag), otherwise each
    in the place it always has, and zeros for the others"""


@dataclass(frozen=True)
class Kind:
    """Agents of one type, or prey."""

    name: str
    count: int
    moves: bool
    speaks: bool
    sees: tuple[Part, ...]
    """parts of its observation, in order"""
    radius: float
    force: float = 5.0
    """of a move; masses are 1"""
    max_speed: float = np.inf
    """inf: none"""


@dataclass(frozen=True)
class World:
    """The state of B worlds of N agents and L landmarks."""

    position: np.ndarray
    """(B, N + P, 2), the P prey behind the N agents"""
    velocity: np.ndarray
    """(B, N + P, 2)"""
    landmarks: np.ndarray
    """(B, L, 2)"""
    target: np.ndarray
    """(B, N) the landmark that each agent has to reach, which only the other agent knows; -1: none of its own"""
    spoken: np.ndarray
    """(B, N, words) float32, one-hot: what each agent said last; zeros before its first word"""


class Verdict(NamedTuple):
    """What a step earned, each (B, N)."""

    reward: np.ndarray
    covered: np.ndarray
    """share of an agent's landmarks that are covered now"""
    touches: np.ndarray
    """how many others an agent overlaps now"""


class Scenario(NamedTuple):
    """One scenario."""

    kinds: tuple[Kind, ...]
    landmarks: int
    words: int
    """size of the vocabulary"""
    contact: bool
    """whether agents push each other"""
    colours: np.ndarray
    """(L, 3) of the landmarks; (0, 3) where nobody observes them"""
    judge: Callable[[Scenario, World, float], Verdict]
    """of this scenario, a world and ``local_ratio``"""
    figures: tuple[str, ...] = ("covered",)
    """of an episode, beside ``return``"""
    prey: Kind | None = None
    """who flees by a rule; no agent"""
    obstacle_radius: float = 0.0
    """of a landmark; 0 where landmarks are not in the way"""
    landmark_range: float = 1.0
    """landmarks begin within this of the middle, along either axis"""

    @property
    def bodies(self) -> tuple[Kind, ...]:
        """All that move, in the order of :class:`World`."""
        return (*self.kinds, self.prey) if self.prey else self.kinds

    def each(self, key: Literal["radius", "max_speed"]) -> np.ndarray:
        """A figure of every body, (N + P,)."""
        return np.array([getattr(kind, key) for kind in self.bodies for _ in range(kind.count)])

    @property
    def agents(self) -> int:
        """N."""
        return sum(kind.count for kind in self.kinds)

    def actions(self, kind: Kind) -> int:
        """Number of actions: a move, a word, or each word with each move (``SimpleEnv.__init__``)."""
        return (MOVES if kind.moves else 1) * (self.words if kind.speaks else 1)

    def size(self, kind: Kind, sight: Sight) -> int:
        """Length of an agent's observation."""
        return sum(self._width(part, sight) for part in kind.sees)

    def observe(self, world: World, kind: Kind, first: int, sight: Sight) -> np.ndarray:
        """What the agents of ``kind``, the first of which is number ``first``, see: (B, n, size) float32."""
        agents = slice(first, first + kind.count)
        out = np.zeros((len(world.position), kind.count, self.size(kind, sight)), np.float32)
        column = 0
        for part in kind.sees:
            width = self._width(part, sight)
            if part in ("landmarks", "others") or (part == "prey_velocity" and sight.neighbors):
                self._look(world, part, agents, sight, out, column)
            else:
                out[..., column : column + width] = self._told(world, part, agents, width)
            column += width
        return out

    def _width(self, part: Part, sight: Sight) -> int:
        """Number of values of a part of an observation."""
        alike = not len(self.colours)
        prey = self.prey.count if self.prey else 0
        others = sight.neighbors or self.agents + prey - 1
        landmarks = sight.landmarks or self.landmarks if alike else self.landmarks
        widths = {
            "landmarks": 2 * landmarks, "others": 2 * others, "heard": self.words * others, "colour": 3,
            "prey_velocity": 2 * (sight.neighbors or prey),
        }  # fmt: skip
        return widths.get(part, 2)

    def _look(self, world: World, part: Part, agents: slice, sight: Sight, out: np.ndarray, column: int) -> None:
        at_others = part != "landmarks"
        things = world.position if at_others else world.landmarks
        shown = things
        if part == "prey_velocity":  # in the slots of the others, with zeros for hunters
            shown = world.velocity.copy()
            shown[:, : self.agents] = 0
        limit = sight.neighbors if at_others else sight.landmarks
        in_place = limit is None or bool(len(self.colours))
        count = things.shape[1] if limit is None else limit
        kernels.look(
            world.position,
            agents.start,
            agents.stop,
            things,
            shown,
            shown is things,
            at_others,
            count,
            limit is not None,
            in_place,
            out,
            column,
        )

    def _told(self, world: World, part: Part, agents: slice, width: int) -> np.ndarray | float:
        """A part of an observation that is not looked for, (B, n, width) or (B, 1, width)."""
        if part == "velocity":
            return world.velocity[:, agents]
        if part == "position":
            return world.position[:, agents]
        if part == "prey_velocity":
            return world.velocity[:, self.agents :].reshape(-1, 1, width)
        if not len(self.colours):
            return 0.0  # agents that hear each other say nothing in simple_spread
        partner = [1 - agent for agent in range(agents.start, agents.stop)]
        if part == "colour":
            return self.colours[world.target[:, partner]]
        return world.spoken[:, partner]


def spread(agents: int) -> Scenario:
    """``simple_spread``: as many agents as landmarks, which they cover without touching each other."""
    sees: tuple[Part, ...] = ("velocity", "position", "landmarks", "others", "heard")
    kind = Kind("agent", agents, moves=True, speaks=False, sees=sees, radius=0.15)
    return Scenario((kind,), agents, 2, True, np.zeros((0, 3)), _judge_spread, ("covered", "collisions"))


def speaker_listener() -> Scenario:
    """``simple_speaker_listener``: one sees which landmark is meant and says a word, the other goes there."""
    speaker = Kind("speaker", 1, moves=False, speaks=True, sees=("colour",), radius=0.075)
    listener = Kind("listener", 1, moves=True, speaks=False, sees=("velocity", "landmarks", "heard"), radius=0.075)
    colours = np.full((3, 3), 0.15) + 0.5 * np.eye(3)
    return Scenario((speaker, listener), 3, 3, False, colours, _judge_speaker_listener)


def reference() -> Scenario:
    """``simple_reference``: each of two knows where the other has to go, and both move and speak."""
    kind = Kind("agent", 2, moves=True, speaks=True, sees=("velocity", "landmarks", "colour", "heard"), radius=0.05)
    colours = np.full((3, 3), 0.25) + 0.5 * np.eye(3)
    return Scenario((kind,), 3, 10, False, colours, _judge_reference)


def tag() -> Scenario:
    """``simple_tag``: three hunt a faster one among obstacles, and all earn whenever any touches it.

    The prey flees by :func:`kdmarl_core.envs.particle.prey.flee`.
    """
    sees: tuple[Part, ...] = ("velocity", "position", "landmarks", "others", "prey_velocity")
    kind = Kind("adversary", 3, moves=True, speaks=False, sees=sees, radius=0.075, force=3.0, max_speed=1.0)
    prey = Kind("agent", 1, moves=True, speaks=False, sees=(), radius=0.05, force=4.0, max_speed=1.3)
    colours, figures = np.zeros((0, 3)), ("win_rate",)
    return Scenario((kind,), 2, 2, True, colours, _judge_tag, figures, prey, obstacle_radius=0.2, landmark_range=0.9)


def _judge_spread(scenario: Scenario, world: World, local_ratio: float) -> Verdict:
    distance = np.empty(world.landmarks.shape[:2])
    kernels.nearest(world.position, world.landmarks, distance)
    touching = np.empty(world.position.shape[:2])
    kernels.touches(world.position, scenario.kinds[0].radius, touching)
    shared = -distance.sum(1, keepdims=True)
    covered = (distance < CAPTURE_RADIUS).mean(1, keepdims=True)
    reward = shared * (1 - local_ratio) - touching * local_ratio
    return Verdict(reward, np.broadcast_to(covered, touching.shape), touching)


def _judge_speaker_listener(scenario: Scenario, world: World, local_ratio: float) -> Verdict:
    """Both get the listener's squared distance; there is no local part."""
    distance = np.repeat(_to_target(world)[:, 1:], 2, 1)
    return Verdict(-(distance**2), distance < CAPTURE_RADIUS, np.zeros(distance.shape))


def _judge_reference(scenario: Scenario, world: World, local_ratio: float) -> Verdict:
    """Each gets the distance of the other, whom it guides."""
    distance = _to_target(world)
    local = -distance[:, ::-1]
    reward = local.mean(1, keepdims=True) * (1 - local_ratio) + local * local_ratio
    return Verdict(reward, distance < CAPTURE_RADIUS, np.zeros(distance.shape))


def _judge_tag(scenario: Scenario, world: World, local_ratio: float) -> Verdict:
    """All get ten for each that touches the prey; there is no local part."""
    hunter, fleeing = scenario.bodies
    hunters, prey = np.split(world.position, [scenario.agents], 1)
    offset = hunters[:, :, None] - prey[:, None]
    near = np.sqrt((offset**2).sum(-1)) < hunter.radius + fleeing.radius
    reward = np.repeat(10.0 * near.sum((1, 2))[:, None], scenario.agents, 1)
    return Verdict(reward, np.zeros(reward.shape), np.zeros(reward.shape))


def _to_target(world: World) -> np.ndarray:
    """(B, N) distance of each agent to the landmark it has to reach; meaningless for those without one."""
    places = np.take_along_axis(world.landmarks, world.target[..., None], 1)
    offset = world.position - places
    return np.hypot(offset[..., 0], offset[..., 1])
