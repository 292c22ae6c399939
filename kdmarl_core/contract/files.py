"""Strict reading of YAML and JSON into msgspec structs, with errors that name file, path and remedy."""

from __future__ import annotations

import re
import threading
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

from kdmarl_core.errors import KdmarlError, did_you_mean, nearest, with_article

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
                None, None, f"a value that is not {with_article(node.tag.rpartition(':')[2])}", node.start_mark
            ) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str | int | float | bool | None):
                raise yaml.constructor.ConstructorError(
                    None,
                    None,
                    f"a key must be a plain value, not {with_article(type(key).__name__)}",
                    key_node.start_mark,
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key '{key}' is given twice; keep one", key_node.start_mark
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
        raise KdmarlError(f"{str(path)[:200]!r}: is not a path ({why}); give the path of a file") from None
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
        raise KdmarlError(f"{str(path)!r}: is not a path ({error}); give the path of {what}") from None
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
        raise KdmarlError(_explain(str(error), data, type_, source, at)) from None


def load_yaml(path: Path | str, type_: type[T]) -> T:
    """Read a YAML file into ``type_``; errors as in :func:`read_yaml` and :func:`convert`."""
    return convert(read_yaml(path), type_, str(path))


def decode_json(data: bytes | str, type_: type[T], source: str) -> T:
    """Decode JSON into ``type_``; errors as in :func:`convert`."""
    try:
        with _ONE_AT_A_TIME:
            return msgspec.json.decode(data, type=type_)
    except msgspec.ValidationError as error:
        raise KdmarlError(_explain(str(error), _plain(data), type_, source)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise KdmarlError(f"{source}: not valid JSON ({error})") from None


def _plain(data: bytes | str) -> Any:
    """The plain data of JSON; None if it is not valid after the value that does not fit."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


_MESSAGE = re.compile(r"(.*?)(?: - at (?:`(key)` in )?`(\$(?:\.\w+|\[[^]]*\])*)`)?", re.DOTALL)
"""msgspec's message: the problem; whether a mapping's key has it; the path, such as ``$.robots[0].pose``."""


def _explain(message: str, data: Any, type_: Any, source: str, at: str = "$") -> str:
    """The sentence for msgspec's ``message`` on ``data`` that is not a ``type_``."""
    problem, is_key, path = _MESSAGE.fullmatch(message).groups("")  # type: ignore[union-attr]  # fits any text
    path = path or "$"
    shown = f"{source}: {at}{path[1:]}"
    if unknown := re.fullmatch(r"Object contains unknown field `(.*)`", problem, re.DOTALL):
        key = unknown[1]
        return f"{shown}: unknown key '{key}'; {_instead_of_key(key, _places(data, type_, path))}"
    if unlisted := re.fullmatch(r"Invalid enum value '(.*)'", problem, re.DOTALL):
        value = unlisted[1]
        if is_key:
            known = _keys_instead_of(value, _places(data, type_, path))
            return f"{shown}: unknown key '{value}'{_one_of(value, known)}"
        return f"{shown}: invalid enum value '{value}'{_one_of(value, _values_at(value, _places(data, type_, path)))}"
    if named := re.fullmatch(r"Invalid value '(.*)'", problem, re.DOTALL):
        parent, _, field = path.rpartition(".")
        if tags := _tags_at(field, _places(data, type_, parent)):
            return f"{shown}: unknown {field} '{named[1]}'{_one_of(named[1], tags)}"
    return f"{shown}: {'key: ' if is_key else ''}{problem[:1].lower()}{problem[1:]}"


def _one_of(word: str, known: Sequence[str]) -> str:
    """The end of a sentence about ``word``, which is not one of ``known``."""
    near = nearest(word, known)
    listed = f"; give {'one of ' if len(known) > 1 else ''}{', '.join(known)}" if known else ""
    return listed + (f"; did you mean '{near}'?" if near else "")


def _instead_of_key(key: str, places: list[tuple[Any, Any]]) -> str:
    """The remedy for an unknown ``key`` of the struct at ``places``."""
    for value, type_ in places:
        structs = [each for each in _alternatives(type_) if _is_struct(each)]
        for struct in structs:
            known = _fields(struct)
            if not (_is_tagged(value, struct) and key in value and key not in known):
                continue
            if any(key in _fields(each) for each in structs):  # well spelled, but another alternative's
                config = struct.__struct_config__
                keys = ", ".join([config.tag_field, *known])
                return f"remove it, or change {config.tag_field} ({config.tag} has only {keys})"
            return did_you_mean(key, known)
    return "remove it"


def _keys_instead_of(key: str, places: list[tuple[Any, Any]]) -> list[str]:
    """Keys that the mapping at ``places`` may have, instead of ``key``."""
    for value, type_ in places:
        for each in _alternatives(type_):
            args = typing.get_args(each)
            if isinstance(value, dict) and key in value and len(args) == 2 and key not in (known := _literals(args[0])):
                return known
    return []


def _values_at(value: str, places: list[tuple[Any, Any]]) -> list[str]:
    """Values that may stand at ``places``, instead of ``value``."""
    for found, type_ in places:
        if found == value and value not in (known := _literals(type_)):
            return known
    return []


def _tags_at(field: str, places: list[tuple[Any, Any]]) -> list[str]:
    """Values of ``field`` that tell the structs at ``places`` apart; none if it is another key."""
    structs = [each for _, type_ in places for each in _alternatives(type_) if _is_struct(each)]
    return sorted({str(each.__struct_config__.tag) for each in structs if each.__struct_config__.tag_field == field})


def _literals(type_: Any) -> list[str]:
    """The values that ``type_`` lists, and what else it takes; null is left out, as it is the key's absence."""
    found: list[Any] = []
    for each in _alternatives(type_):
        if typing.get_origin(each) is typing.Literal:
            found += typing.get_args(each)
        elif each is bool:
            found += ["true", "false"]
        elif _is_struct(each):
            found.append("a mapping")
    return [str(each) for each in found]


def _places(data: Any, type_: Any, path: str) -> list[tuple[Any, Any]]:
    """Values at ``path`` in ``data`` with their types, in order; several if the path leads through a mapping."""
    found = [(data, type_)]
    for key, index in re.findall(r"\.(\w+)|\[([^]]*)\]", path):
        found = [
            inner
            for value, outer in found
            for each in _alternatives(outer)
            for inner in (_in_struct(value, each, key) if key else _in_container(value, each, index))
        ]
    return found


def _in_struct(value: Any, type_: Any, key: str) -> list[tuple[Any, Any]]:
    """What ``key`` has in a struct, with its type; nothing if ``value`` is not such a struct."""
    if not (_is_struct(type_) and _is_tagged(value, type_) and key in value):
        return []
    return [(value[key], field.type) for field in msgspec.structs.fields(type_) if field.encode_name == key]


def _in_container(value: Any, type_: Any, index: str) -> list[tuple[Any, Any]]:
    """What a list has at ``index``, or all values of a mapping, with their type."""
    args = typing.get_args(type_)
    if isinstance(value, dict) and len(args) == 2:
        return [(each, args[1]) for each in value.values()]
    if not (isinstance(value, list | tuple) and args and index.isdecimal()):
        return []
    place = int(index)
    fixed = typing.get_origin(type_) is tuple and Ellipsis not in args
    types_at = args[place:] if fixed else args[:1]
    # Nothing there if JSON gives a key twice, or another value of a mapping has the error: this list may be shorter.
    return list(zip(value[place : place + 1], types_at, strict=False))


def _is_tagged(value: Any, struct: type[msgspec.Struct]) -> bool:
    """Whether ``value`` is a mapping whose tag, if ``struct`` has one, is that of ``struct``."""
    config = struct.__struct_config__
    return isinstance(value, dict) and (config.tag is None or value.get(config.tag_field, config.tag) == config.tag)


def _fields(struct: type[msgspec.Struct]) -> list[str]:
    return [field.encode_name for field in msgspec.structs.fields(struct)]


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
