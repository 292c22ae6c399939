"""Describe an ONNX file that was not made by kdmarl.

Networks of other projects are refused; naming the first broken rule, such as an opset, would not help users. The bytes
are untrusted: parsing is bounded as in :mod:`~kdmarl_core.runtime.protobuf`, and shown texts are short.
"""

from __future__ import annotations

from kdmarl_core.contract.manifest import METADATA_KEY
from kdmarl_core.runtime.onnx_file import DTYPES
from kdmarl_core.runtime.protobuf import Budget, WireError, split

MAX_LETTERS = 40
"""Longest shown name."""

MAX_VALUES = 6
"""Largest number of shown inputs or outputs."""

MAX_DIMS = 8
"""Largest number of shown dimensions of a shape."""

Fields = dict[int, list[int | memoryview]]
"""Field number → its values, in order."""


def describe_foreign(data: bytes) -> str | None:
    """What an ONNX file without a kdmarl manifest is, and what to do about it, as the rest of a sentence.

    Returns:
        None if it has a manifest, or is not a readable ONNX file.
    """
    budget = Budget()
    try:
        model = _fields(memoryview(data), budget)
        graphs = _blobs(model, 7)
        if len(graphs) != 1 or any(_text(_fields(entry, budget), 1) == METADATA_KEY for entry in _blobs(model, 14)):
            return None
        graph = _fields(graphs[0], budget)
        weights = [_fields(tensor, budget) for tensor in _blobs(graph, 5)]
        names = {_text(tensor, 8) for tensor in weights}
        inputs, outputs = (_values(graph, field, names, budget) for field in (11, 12))
        elsewhere = next((tensor for tensor in weights if _blobs(tensor, 13) or _number(tensor, 14)), None)
        place = _location(elsewhere, budget) if elsewhere else ""
    except WireError:
        return None
    if 12 not in graph:
        return None
    maker = _text(model, 2)
    return (
        f"has no kdmarl manifest, so it is not a policy file but another ONNX model{maker and f' (made by {maker})'}"
        f"; it takes {inputs} and gives {outputs}, and does not say which sensors and commands "
        f"these are{place}; say so in a manifest.yaml and make a policy file with 'kdmarl pack' (docs/pack.md)"
    )


def _values(graph: Fields, number: int, weights: set[str], budget: Budget) -> str:
    """Name, type and shape of the graph's inputs or outputs; old files list weights among the inputs."""
    values = [_fields(blob, budget) for blob in _blobs(graph, number)]
    named = [(name, value) for value in values if (name := _text(value, 1)) not in weights]
    shown = [f"'{name}', {_type(value, budget)}" for name, value in named[:MAX_VALUES]]
    if len(named) > MAX_VALUES:
        shown.append(f"and {len(named) - MAX_VALUES} more")
    return "; ".join(shown) or "nothing"


def _type(value: Fields, budget: Budget) -> str:
    tensor = _inner(_inner(value, 2, budget), 1, budget)
    if not tensor:
        return "no tensor"
    kind = _number(tensor, 1)
    sizes = [_size(_fields(dim, budget)) for dim in _blobs(_inner(tensor, 2, budget), 1)]
    shown = ", ".join(sizes[:MAX_DIMS] + ["…"] * (len(sizes) > MAX_DIMS))
    return f"{DTYPES.get(kind, f'type {kind}')} [{shown}]"


def _size(dimension: Fields) -> str:
    """A fixed size, or the name of a dynamic one."""
    return str(_number(dimension, 1)) if 1 in dimension else _text(dimension, 2) or "?"


def _location(tensor: Fields, budget: Budget) -> str:
    """Location of external weights, as the rest of a sentence."""
    entries = [_fields(entry, budget) for entry in _blobs(tensor, 13)]
    place = next((_text(entry, 2) for entry in entries if _text(entry, 1) == "location"), "")
    return f"; its weights are in another file{place and f', {place!r}'}"


def _fields(data: memoryview, budget: Budget) -> Fields:
    found: Fields = {}
    for number, _, value in split(data, budget):
        found.setdefault(number, []).append(value)
    return found


def _inner(fields: Fields, number: int, budget: Budget) -> Fields:
    """The first message of a field; empty when absent."""
    return next((_fields(blob, budget) for blob in _blobs(fields, number)), {})


def _blobs(fields: Fields, number: int) -> list[memoryview]:
    return [value for value in fields.get(number, []) if isinstance(value, memoryview)]


def _text(fields: Fields, number: int) -> str:
    """The first string of a field, shortened."""
    blob = next(iter(_blobs(fields, number)), memoryview(b""))
    text = bytes(blob[: 4 * MAX_LETTERS]).decode(errors="replace")
    return text if len(text) <= MAX_LETTERS else f"{text[: MAX_LETTERS - 1]}…"


def _number(fields: Fields, number: int) -> int:
    return next((value for value in fields.get(number, []) if isinstance(value, int)), 0)
