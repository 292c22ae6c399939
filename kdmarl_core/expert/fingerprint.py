"""What a run depends on, kept as JSON in its checkpoint, so that another run can say where it differs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

Facts = Mapping[str, Any]
"""Plain data such as ``{"expert": {"ppo": {"gamma": 0.99}}, "seed": 1}``"""
SHOWN = 3
"""How many differences are named."""
LATER = {"memory": "0", "segment": "20"}
"""Keys that came later → JSON of what runs without them did."""


def encode(facts: Facts) -> str:
    """Facts as they are kept."""
    return msgspec.json.encode(facts, order="sorted").decode()


def differences(kept: str, facts: Facts) -> str:
    """The first keys that differ, with both values, such as ``seed = 1 (now 2)``; empty when none does.

    Raises:
        ValueError: ``kept`` is not from :func:`encode`.
    """
    before, now = (dict(_leaves("", json.loads(text))) for text in (kept, encode(facts)))
    usual = {key: LATER.get(key.rpartition(".")[2]) for key in before.keys() | now.keys()}
    changed = sorted(key for key, value in usual.items() if before.get(key, value) != now.get(key, value))
    told = [f"{key} = {before.get(key, 'nothing')} (now {now.get(key, 'nothing')})" for key in changed[:SHOWN]]
    more = [f"{len(changed) - SHOWN} more"] if len(changed) > SHOWN else []
    return ", ".join(told + more)


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
