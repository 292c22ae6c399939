"""What a PettingZoo parallel environment must have: agents, spaces, and first observations that fit them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces

from kdmarl_core.contract import ActionSpace, Box, Discrete, KdmarlError
from kdmarl_core.contract.bounds import LARGEST
from kdmarl_core.errors import with_article

PARTS = ("observation", "action_mask")
"""keys of an observation with a mask"""
Shapes = Mapping[str, Mapping[str, tuple[int, ...]]]
"""Agent → part of its observation → shape; a plain vector is the part with the empty name"""


def agents_of(env: Any) -> list[str]:
    """Names of all agents that there ever are.

    Raises:
        KdmarlError: there are none, or they are not names.
    """
    agents = getattr(env, "possible_agents", None)
    if agents is None:
        raise KdmarlError(
            "has no possible_agents; set it to the list of its agents' names when the environment is made"
        )
    agents = list(agents)
    if not agents:
        raise KdmarlError("possible_agents is empty; list its agents' names when the environment is made")
    for agent in agents:
        if not isinstance(agent, str):
            kind = with_article(type(agent).__name__)
            raise KdmarlError(f"possible_agents has {agent!r}, {kind}; name each agent by a string")
    return agents


def spaces_of(env: Any, agent: str) -> tuple[Any, Any]:
    """Observation and action space of an agent.

    Raises:
        KdmarlError: it has none.
    """
    found = []
    for what in ("observation_space", "action_space"):
        try:
            found.append(getattr(env, what)(agent))
        except Exception as error:
            raise KdmarlError(
                f"{agent}: its {what} raises {type(error).__name__}: {error}; give one for each of possible_agents"
            ) from error
    return found[0], found[1]


def action_of(env: Any, kind: str, members: list[str]) -> ActionSpace:
    """The action space of a type.

    Args:
        env: the environment.
        kind: names the type.
        members: its agents, which must be alike.

    Raises:
        KdmarlError: they differ, or a space is not supported.
    """
    first, (seen, action) = members[0], spaces_of(env, members[0])
    for name in members[1:]:
        for what, one, other in zip(("observation", "action"), spaces_of(env, name), (seen, action), strict=True):
            if one != other:
                raise KdmarlError(
                    f"type '{kind}': {what} spaces of {first} and {name} differ; give them types of their own"
                )
    mask = seen.get("action_mask") if isinstance(seen, spaces.Dict) else None
    vector = seen.get("observation") if mask else seen
    if not isinstance(vector, spaces.Box) or len(vector.shape) != 1:
        raise KdmarlError(
            f"{first}: observes {seen}, neither a vector nor 'observation' and 'action_mask'; wrap the environment "
            "so that it does"
        )
    if mask and mask.shape != (getattr(action, "n", 0),):
        raise KdmarlError(f"{first}: its action_mask is {mask}, and it acts in {action}; make them equally many")
    if isinstance(action, spaces.Discrete) and action.start == 0:
        if action.n < 2:
            raise KdmarlError(
                f"{first}: acts in {action}, which leaves it no choice; give it two actions or more, or leave it out "
                "of possible_agents"
            )
        return Discrete(int(action.n))
    if isinstance(action, spaces.Box) and len(action.shape) == 1 and np.isfinite([action.low, action.high]).all():
        return _box(first, action)
    raise KdmarlError(
        f"{first}: acts in {action}; only Discrete(n) from 0 and a Box of one dimension with finite limits are "
        "supported, wrap the environment"
    )


def _box(agent: str, action: spaces.Box) -> Box:
    lowest, highest = action.low.tolist(), action.high.tolist()
    if not lowest:
        raise KdmarlError(f"{agent}: acts in {action}, which has no numbers; give it one or more")
    for place, (low, high) in enumerate(zip(lowest, highest, strict=True)):
        if not low < high:
            raise KdmarlError(
                f"{agent}: acts in {action}, whose number {place} is {low:g} at least and {high:g} at most; give it a "
                "higher limit, or leave it out"
            )
        if max(abs(low), abs(high)) > LARGEST:
            raise KdmarlError(
                f"{agent}: acts in {action}, whose number {place} is from {low:g} to {high:g}; give it limits between "
                f"{-LARGEST:g} and {LARGEST:g}"
            )
    return Box(tuple(lowest), tuple(highest))


def shapes_of(env: Any) -> Shapes:
    """Shapes of what its agents observe; errors as :func:`agents_of` and :func:`spaces_of`."""
    shapes = {}
    for agent in agents_of(env):
        seen, _ = spaces_of(env, agent)
        masked = isinstance(seen, spaces.Dict)
        shapes[agent] = {part: seen[part].shape for part in PARTS} if masked else {"": seen.shape}
    return shapes


def first_seen(given: Any, shapes: Shapes) -> Mapping[str, Any]:
    """The observations among what ``reset`` gives, agent → what it sees.

    Raises:
        KdmarlError: an agent has none, or one that is not finite or is not shaped as its space.
    """
    if not (isinstance(given, tuple | list) and len(given) == 2 and isinstance(given[0], Mapping)):
        what = f"{len(given)} values" if isinstance(given, tuple | list) else with_article(type(given).__name__)
        raise KdmarlError(
            f"its reset gives {what}; give two dicts, agent → observation and agent → info, as PettingZoo defines it"
        )
    observation: Mapping[str, Any] = given[0]
    for agent, parts in shapes.items():
        if agent not in observation:
            raise KdmarlError(f"its reset gives no observation of '{agent}'; give one of each of possible_agents")
        for part, shape in parts.items():
            _check(agent, part, observation[agent], shape)
    return observation


def _check(agent: str, part: str, seen: Any, shape: tuple[int, ...]) -> None:
    where = f"its reset gives '{agent}' an observation"
    if part and (not isinstance(seen, Mapping) or part not in seen):
        raise KdmarlError(f"{where} without '{part}', which its observation_space has; add it")
    try:
        values = np.asarray(seen[part] if part else seen, np.float32)
    except (TypeError, ValueError):
        raise KdmarlError(f"{where} that is not an array of numbers; give one of shape {shape}") from None
    what = f"whose '{part}' has" if part else "of"
    if values.shape != shape:
        raise KdmarlError(
            f"{where} {what} shape {values.shape}, and its observation_space has {shape}; make them equal"
        )
    if not np.isfinite(values).all():
        place = int(np.flatnonzero(~np.isfinite(values))[0])
        raise KdmarlError(f"{where} whose number {place} is {values[place]:g}; give finite numbers only")
