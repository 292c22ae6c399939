"""Mutations of bytes, plain data, protobuf messages and ROS messages, with the caller's random generator."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

FLOATS = (0.0, -0.0, 1.0, -1.0, 1e-320, 1e-30, 3e38, -3e38, 1e300, -1e300, math.nan, math.inf, -math.inf)
INTEGERS = (0, 1, -1, 2, 7, 127, 128, 255, 4096, 2**20, 2**31 - 1, -(2**31), 2**31, 2**32, 2**62, 2**63 - 1, -(2**63))
TEXTS = (
    "",
    "x",
    "map",
    "r1/base_link",
    "a\0b",
    "ü" * 50,
    "../../etc/passwd",
    "/dev/zero",
    "9" * 5000,
    "{",
    "a" * 10_000,
)
VALUES = (*FLOATS, *INTEGERS, *TEXTS, None, True, False, [], {}, [[]], {"x": 1}, [0.0] * 1000, 10**400)


def pick(rng: np.random.Generator, choices: Any) -> Any:
    """One of ``choices``, with its own type."""
    return choices[rng.integers(len(choices))]


def spoil_bytes(rng: np.random.Generator, data: bytes) -> bytes:
    """Flipped, cut, doubled, moved or inserted pieces of ``data``."""
    spoiled = bytearray(data)
    for _ in range(rng.integers(1, 5)):
        start, end = sorted(rng.integers(0, len(spoiled) + 1, 2))
        piece = spoiled[start : min(end, start + 64)]
        match rng.integers(6):
            case 0 if spoiled:
                spoiled[rng.integers(len(spoiled))] = rng.integers(256)
            case 1:
                del spoiled[start : start + len(piece)]
            case 2:
                spoiled[start:start] = piece
            case 3:
                spoiled[end:end] = rng.bytes(rng.integers(1, 9))
            case 4:
                del spoiled[start:]
            case _:
                spoiled[end:end] = piece
    return bytes(spoiled)


def spoil_data(rng: np.random.Generator, data: Any) -> Any:
    """Plain data (dicts, lists, values) with some of its parts replaced, removed, doubled, swapped or renamed."""
    data = copy.deepcopy(data)
    for _ in range(rng.integers(1, 4)):
        parents = list(_parents(data))
        if not parents:
            return copy.deepcopy(pick(rng, VALUES))
        parent = pick(rng, parents)
        keys = list(parent) if isinstance(parent, dict) else range(len(parent))
        key = pick(rng, keys)
        match rng.integers(6):
            case 0:
                del parent[key]
            case 1 if isinstance(parent, dict):
                parent[pick(rng, ("x", str(key).upper(), f"{key}x"))] = parent.pop(key)
            case 2 if isinstance(parent, list):
                parent.extend([parent[key]] * int(rng.integers(1, 300)))
            case 3:
                other = pick(rng, keys)
                parent[key], parent[other] = parent[other], parent[key]
            case 4 if isinstance(parent[key], int | float) and abs(parent[key]) < 1e300:
                parent[key] *= pick(rng, (-1, 0.5, 2, 1e9, 1e-9))
            case _:
                parent[key] = copy.deepcopy(pick(rng, VALUES))
    return data


def _parents(data: Any) -> Any:
    """All dicts and lists in ``data`` that hold something."""
    if isinstance(data, dict | list) and data:
        yield data
        for child in data.values() if isinstance(data, dict) else data:
            yield from _parents(child)


def spoil_message(rng: np.random.Generator, message: Message) -> None:
    """Change some fields of a protobuf message, anywhere inside, in place."""
    for _ in range(rng.integers(1, 4)):
        owner = pick(rng, list(_messages(message)))
        field = pick(rng, [field for field, _ in owner.ListFields()] or owner.DESCRIPTOR.fields)
        if rng.random() < 0.2:
            field = pick(rng, owner.DESCRIPTOR.fields)
        if field.is_repeated:
            _spoil_repeated(rng, getattr(owner, field.name), field)
        elif field.type == FieldDescriptor.TYPE_MESSAGE or rng.random() < 0.1:
            owner.ClearField(field.name)
        else:
            setattr(owner, field.name, _scalar(rng, field))


def _messages(message: Message) -> Any:
    yield message
    for field, value in message.ListFields():
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            for child in value if field.is_repeated else [value]:
                yield from _messages(child)


def _spoil_repeated(rng: np.random.Generator, values: Any, field: FieldDescriptor) -> None:
    is_message = field.type == FieldDescriptor.TYPE_MESSAGE
    match rng.integers(4):
        case 0 if values:
            del values[rng.integers(len(values))]
        case 1 if values:
            values.extend([pick(rng, values)] * int(rng.choice([1, 2, 100])))
        case 2 if len(values) > 1:
            kept = [copy.deepcopy(value) for value in values]
            del values[:]
            values.extend([kept[index] for index in rng.permutation(len(kept))])
        case _ if is_message:
            values.add()
        case _ if values and rng.random() < 0.7:
            values[rng.integers(len(values))] = _scalar(rng, field, pick(rng, values))
        case _:
            values.append(_scalar(rng, field))


def _scalar(rng: np.random.Generator, field: FieldDescriptor, like: Any = None) -> Any:
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_STRING if field.type == FieldDescriptor.TYPE_BYTES:
            return rng.bytes(int(rng.choice([0, 1, 4, 8, 400])))
        case FieldDescriptor.CPPTYPE_STRING:
            return like if like and rng.random() < 0.5 else pick(rng, OPERATOR_NAMES + TEXTS[:4])
        case FieldDescriptor.CPPTYPE_FLOAT | FieldDescriptor.CPPTYPE_DOUBLE:
            return pick(rng, FLOATS)
        case FieldDescriptor.CPPTYPE_ENUM:
            return pick(rng, field.enum_type.values).number
        case FieldDescriptor.CPPTYPE_INT32:
            return pick(rng, [value for value in INTEGERS if -(2**31) <= value < 2**31])
        case FieldDescriptor.CPPTYPE_UINT64:
            return pick(rng, [abs(value) for value in INTEGERS])
        case _:
            return pick(rng, INTEGERS)


OPERATOR_NAMES = (
    "Add", "Concat", "Gather", "MatMul", "Gemm", "Reshape", "Transpose", "Split", "Slice", "ArgMax", "Where", "Cast",
    "Squeeze", "Unsqueeze", "Flatten", "ReduceSum", "Softmax", "QuantizeLinear", "DequantizeLinear", "MatMulInteger",
    "LayerNormalization", "Clip", "Identity", "Shape", "Constant", "If", "observation", "command", "axis", "kdmarl",
)  # fmt: skip


def spoil_ros(rng: np.random.Generator, message: Any) -> None:
    """Change some numbers, texts and lists of a ROS message, anywhere inside, in place."""
    for _ in range(rng.integers(1, 4)):
        owner, name = message, ""
        while hasattr(owner, "get_fields_and_field_types"):
            parent, name = owner, pick(rng, list(owner.get_fields_and_field_types()))
            owner = getattr(parent, name)
            if isinstance(owner, list) and owner and rng.random() < 0.7:
                owner = pick(rng, owner)  # one of many poses
        kind = parent.get_fields_and_field_types()[name]
        setattr(parent, name, _ros_value(rng, kind, owner))


def _ros_value(rng: np.random.Generator, kind: str, now: Any) -> Any:
    if kind == "sequence<float>":
        values = list(now)
        if rng.random() < 0.5:
            count = int(rng.choice([0, 1, 2, 5, len(values), 3000, 20_000]))
            return [float(rng.uniform(0, 4)) for _ in range(count)]
        start, end = sorted(rng.integers(0, len(values) + 1, 2))
        values[start:end] = [pick(rng, (*FLOATS[:8], *FLOATS[10:]))] * int(end - start)
        return values
    if kind.startswith("sequence"):
        return list(now) * int(rng.choice([0, 1, 2, 100, 1000]))
    if kind in ("float", "double"):
        limit = 3.1e38 if kind == "float" else math.inf
        near = (float(now) * float(rng.uniform(-3, 3)),) if math.isfinite(now) and abs(now) < 1e30 else ()
        return pick(rng, [value for value in (*FLOATS, *near) if not limit < abs(value) < math.inf])
    if kind == "string":
        return pick(rng, TEXTS)
    if kind == "int32":
        return int(np.clip(pick(rng, (*INTEGERS, now + 1, now - 1)), -(2**31), 2**31 - 1))
    if kind == "uint32":
        return int(np.clip(pick(rng, (*INTEGERS, now + 10**8, now - 10**8)), 0, 2**32 - 1))
    return now  # a covariance, which nobody reads
