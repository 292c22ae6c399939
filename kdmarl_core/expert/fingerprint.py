"""What a run depends on, kept as JSON in its checkpoint, so that another run can say where it differs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

Facts = Mapping[str, Any]
"""Plain data such as ``{"expert": {"ppo": {"gamma": 0.99}}, "seed": 1}``"""
SHOWN = 3
"""How many differences are named."""
LATER: Mapping[str, Any] = {
    "actor.memory": 0,
    "actors.*.memory": 0,
    "critic.memory": 0,
    "students.*.memory": 0,
    "distill.segment": 20,
    "distill.quantization": "none",
    "distill.driver": "shared",
    "reward.shared": 0.0,
    "observations.*.*.others": False,
    "expert.critic_view": None,
}
"""Ends of the paths of keys that came later → what runs without them did; ``*`` is any key, and lists have none."""


def encode(facts: Facts) -> str:
    """Facts as they are kept: keys that came later are left out where they change nothing."""
    return msgspec.json.encode(_lasting(facts), order="sorted").decode()


def sha256(facts: Facts) -> str:
    """Hash of facts as they are kept, hex."""
    return hashlib.sha256(encode(facts).encode()).hexdigest()


def differences(kept: str, facts: Facts) -> str:
    """The first keys that differ, with both values, such as ``seed = 1 (now 2)``; empty when none does.

    Raises:
        ValueError: ``kept`` is not from :func:`encode`.
    """
    before, now = (dict(_leaves("", _lasting(json.loads(text)))) for text in (kept, encode(facts)))
    changed = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
    told = [f"{key} = {before.get(key, 'nothing')} (now {now.get(key, 'nothing')})" for key in changed[:SHOWN]]
    more = [f"{len(changed) - SHOWN} more"] if len(changed) > SHOWN else []
    return ", ".join(told + more)


def _lasting(value: Any, path: tuple[str, ...] = ()) -> Any:
    """The same without keys that came later and have the value that runs before them had."""
    if isinstance(value, Mapping):
        return {key: _lasting(inner, (*path, key)) for key, inner in value.items() if not _neutral((*path, key), inner)}
    return [_lasting(inner, path) for inner in value] if isinstance(value, list | tuple) else value


def _neutral(path: tuple[str, ...], value: Any) -> bool:
    return any(value == before and _ends(path, end.split(".")) for end, before in LATER.items())


def _ends(path: tuple[str, ...], end: list[str]) -> bool:
    """Whether the last keys of ``path`` are those of ``end``."""
    last = path[-len(end) :]
    return len(last) == len(end) and all(wanted in ("*", key) for wanted, key in zip(end, last, strict=True))


def _leaves(path: str, value: Any) -> Iterator[tuple[str, str]]:
    """Dotted key and JSON of every value; lists of plain values are one value."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(f"{path}.{key}" if path else key, inner)
    elif isinstance(value, list) and any(isinstance(inner, dict) for inner in value):
        for index, inner in enumerate(value):
            yield from _leaves(f"{path}[{index}]", inner)
    else:
        yield path, json.dumps(value)
