"""What a run depends on, stored as JSON in its checkpoint, so that a differing run can name the differences."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

Facts = Mapping[str, Any]
"""Plain data such as ``{"expert": {"ppo": {"gamma": 0.99}}, "seed": 1}``"""
SHOWN = 3
"""Number of differences that are named."""
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
"""Last keys of the path of a later addition → the value that reproduces earlier runs; ``*`` matches any key."""


def encode(facts: Facts) -> str:
    """Facts as they are stored: later additions are left out if they have the value of earlier runs."""
    return msgspec.json.encode(_lasting(facts), order="sorted").decode()


def sha256(facts: Facts) -> str:
    """Hash of facts as they are stored, hex."""
    return hashlib.sha256(encode(facts).encode()).hexdigest()


def differences(kept: str, facts: Facts) -> str:
    """The first keys that differ, with both values, such as ``seed = 1 (now 2)``; empty if none does.

    Raises:
        ValueError: ``kept`` is not from :func:`encode`.
    """
    before, now = (dict(_leaves("", _lasting(json.loads(text)))) for text in (kept, encode(facts)))
    changed = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
    shown = [f"{key} = {before.get(key, 'nothing')} (now {now.get(key, 'nothing')})" for key in changed[:SHOWN]]
    more = [f"{len(changed) - SHOWN} more"] if len(changed) > SHOWN else []
    return ", ".join(shown + more)


def _lasting(value: Any, path: tuple[str, ...] = ()) -> Any:
    """The same without later additions that have the value of earlier runs."""
    if isinstance(value, Mapping):
        return {key: _lasting(inner, (*path, key)) for key, inner in value.items() if not _neutral((*path, key), inner)}
    return [_lasting(inner, path) for inner in value] if isinstance(value, list | tuple) else value


def _neutral(path: tuple[str, ...], value: Any) -> bool:
    return any(value == before and _ends(path, end.split(".")) for end, before in LATER.items())


def _ends(path: tuple[str, ...], end: list[str]) -> bool:
    """Whether ``path`` ends with the keys ``end``."""
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
