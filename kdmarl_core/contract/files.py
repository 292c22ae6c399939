"""Strict reading of YAML and JSON into msgspec structs, with errors that name file, path and remedy."""

from __future__ import annotations

import itertools
import re
import threading
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

from kdmarl_core.errors import KdmarlError, did_you_mean

T = TypeVar("T")

MAX_YAML_BYTES = 2**20
"""Largest YAML file that is read [bytes]."""

_ONE_AT_A_TIME = threading.RLock()
"""msgspec (0.22) crashes the process when two threads are the first to read one type at the same moment."""


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses duplicate keys and reads ``1e-3`` as the number it is (YAML 1.2)."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError):  # each of yaml's constructors has its own
            raise yaml.constructor.ConstructorError(
                None, None, f"a value that is no {node.tag.rpartition(':')[2]}", node.start_mark
            ) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str | int | float | bool | None):
                raise yaml.constructor.ConstructorError(
                    None, None, f"a key must be a plain value, not {type(key).__name__}", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key '{key}' stands twice; keep one", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"),
    list("-+0123456789."),
)


def parse_yaml(text: str) -> Any:
    """Plain data of YAML text, by the same rules as in files.

    Raises:
        yaml.YAMLError: it is not YAML.
    """
    return yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader


def resolve(path: Path | str) -> Path:
    """``path`` in full, with all links followed.

    Raises:
        KdmarlError: it cannot be a path.
    """
    try:
        found = Path(path).resolve()
        found.exists()  # asks the operating system, which may not take it for a path
    except (OSError, ValueError, RuntimeError) as error:  # too long, or not ours; a NUL character; links in a circle
        why = getattr(error, "strerror", None) or error
        raise KdmarlError(f"{str(path)[:200]!r}: is no path ({why}); give the path of a file") from None
    return found


def read_bytes(path: Path, max_bytes: int, what: str) -> bytes:
    """The bytes of a file; ``what`` says in errors which kind of file to give.

    Raises:
        KdmarlError: it is missing, larger than ``max_bytes``, cannot be read, or is a folder or device.
    """
    try:
        if path.exists() and not path.is_file():
            raise KdmarlError(f"{path}: is not a file; give {what}")
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except FileNotFoundError:
        raise KdmarlError(f"{path}: no such file; check the path") from None
    except OSError as error:
        raise KdmarlError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None
    except ValueError as error:
        raise KdmarlError(f"{str(path)!r}: is no path ({error}); give the path of {what}") from None
    if len(data) > max_bytes:
        raise KdmarlError(f"{path}: is larger than {max_bytes} bytes; give {what}")
    return data


def read_yaml(path: Path | str) -> Any:
    """Return the plain data of a YAML file.

    Raises:
        KdmarlError: the file is missing, too large, unreadable or not YAML.
    """
    path = Path(path)
    try:
        text = read_bytes(path, MAX_YAML_BYTES, "a YAML file").decode()
    except UnicodeDecodeError as error:
        raise KdmarlError(f"{path}: cannot be read as text ({error}); give a YAML file") from None
    try:
        return parse_yaml(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}" if mark else ""
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        raise KdmarlError(f"{path}{where}: not valid YAML: {problem}") from None
    except RecursionError:
        raise KdmarlError(f"{path}: nested too deeply to be read; flatten it") from None


def convert(data: Any, type_: type[T], source: str, at: str = "$") -> T:
    """Convert plain data to ``type_`` strictly; ``source`` names its origin in errors, ``at`` its path there.

    Raises:
        KdmarlError: a key is unknown (the nearest known one is named) or a value does not fit.
    """
    try:
        with _ONE_AT_A_TIME:
            return msgspec.convert(data, type_)
    except msgspec.ValidationError as error:
        raise KdmarlError(_explain(str(error), type_, source, at)) from None


def load_yaml(path: Path | str, type_: type[T]) -> T:
    """Read a YAML file into ``type_``; errors as in :func:`read_yaml` and :func:`convert`."""
    return convert(read_yaml(path), type_, str(path))


def decode_json(data: bytes | str, type_: type[T], source: str) -> T:
    """Decode JSON into ``type_``; errors as in :func:`convert`."""
    try:
        with _ONE_AT_A_TIME:
            return msgspec.json.decode(data, type=type_)
    except msgspec.ValidationError as error:
        raise KdmarlError(_explain(str(error), type_, source)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise KdmarlError(f"{source}: not valid JSON ({error})") from None


def _explain(message: str, type_: type, source: str, at: str = "$") -> str:
    problem, _, where = message.partition(" - at ")
    path = where.strip("`") or "$"
    shown = f"{source}: {at}{path[1:]}"
    unknown = re.search(r"unknown field `(.*)`", problem)
    if unknown:
        key = unknown.group(1)
        return f"{shown}: unknown key '{key}'; {did_you_mean(key, _keys_at(type_, path))}"
    named = re.fullmatch(r"Invalid value '(.*)'", problem)
    if named and (tags := _tags_at(type_, path)):
        return f"{shown}: unknown {path.rpartition('.')[2]} '{named.group(1)}'; give one of {', '.join(sorted(tags))}"
    return f"{shown}: {problem[:1].lower()}{problem[1:]}"


def _keys_at(type_: Any, path: str) -> set[str]:
    """Keys of the structs that may stand at ``path``, such as ``$.robots[0].pose``."""
    structs = _structs_at(type_, re.findall(r"\.(\w+)|(\[[^]]*\])", path))
    return {field.encode_name for struct in structs for field in msgspec.structs.fields(struct)}


def _tags_at(type_: Any, path: str) -> set[str]:
    """Values of the key at ``path`` that tells structs apart; none if it is another key."""
    parts = re.findall(r"\.(\w+)|(\[[^]]*\])", path)
    if not parts:
        return set()
    structs = _structs_at(type_, parts[:-1])
    return {
        str(struct.__struct_config__.tag) for struct in structs if struct.__struct_config__.tag_field == parts[-1][0]
    }


def _structs_at(type_: Any, parts: list[tuple[str, str]]) -> list[type[msgspec.Struct]]:
    """Struct types that may stand where ``parts`` lead: (key, "") into a struct, ("", index) into a container."""
    found = [type_]
    for key, _ in parts:
        structs = [each for each in itertools.chain(*map(_alternatives, found)) if _is_struct(each)]
        if key:
            fields = [field for struct in structs for field in msgspec.structs.fields(struct)]
            found = [field.type for field in fields if field.encode_name == key]
        else:
            containers = [each for each in itertools.chain(*map(_alternatives, found)) if typing.get_args(each)]
            found = [typing.get_args(each)[-1 if typing.get_origin(each) is dict else 0] for each in containers]
    return [each for each in itertools.chain(*map(_alternatives, found)) if _is_struct(each)]


def _alternatives(type_: Any) -> list[Any]:
    """The types that a union or an annotated type stands for."""
    origin = typing.get_origin(type_)
    if origin is typing.Annotated:
        return _alternatives(typing.get_args(type_)[0])
    if origin in (typing.Union, types.UnionType):
        return [inner for each in typing.get_args(type_) for inner in _alternatives(each)]
    return [type_]


def _is_struct(type_: Any) -> bool:
    return isinstance(type_, type) and issubclass(type_, msgspec.Struct)
