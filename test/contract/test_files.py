"""Strict YAML: one sentence for every kind of bad file."""

import subprocess
import sys
from typing import Literal

import msgspec
import pytest

from kdmarl_core.contract import KdmarlError
from kdmarl_core.contract.files import convert, decode_json, load_yaml, resolve


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    learning_rate: float = 0.1


class Outer(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    inner: Inner = msgspec.field(default_factory=Inner)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "name: a\ninner: {learning_rat: 1.0}",
            r"\$\.inner: unknown key 'learning_rat'; did you mean 'learning_rate'\?",
        ),
        ("name: a\nzzzzzz: 1", "unknown key 'zzzzzz'; remove it"),
        ("name: 3", r"\$\.name: expected `str`, got `int`"),
        ("inner: {}", "missing required field `name`"),
        ("name: a\nname: b", "line 2: not valid YAML: key 'name' is given twice"),
        ("name: [", "not valid YAML"),
        ("{[1]: 2}", "a key must be a plain value, not a list"),
        ("", "expected `object`, got `null`"),
        ("name: !!python/object:os.system x", "not valid YAML"),
        ("name: a\ninner: {learning_rate: !!float x}", "line 2: not valid YAML: a value that is not a float"),
        ("name: 2001-99-99", "a value that is not a timestamp"),
        ("name: !!timestamp x", "a value that is not a timestamp"),
        ("name: !!bool x", "a value that is not a bool"),
        ("name: " + "9" * 5000, "a value that is not an int"),
        ("a: &a {x: 1}\nb: {<<: [*a, *a]}", "not valid YAML"),  # merges of merges grow without end
        ("name: \x03", "unacceptable character #x0003: special characters are not allowed in"),
        ("#" * 2**20 + "#", "larger than 1048576 bytes"),
    ],
)
def test_bad_files_are_reported_in_one_sentence(tmp_path, text, message):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(KdmarlError, match=message) as caught:
        load_yaml(path, Outer)
    assert "bad.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_and_binary_files(tmp_path):
    with pytest.raises(KdmarlError, match="no such file"):
        load_yaml(tmp_path / "none.yaml", Outer)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(KdmarlError, match="cannot be read as text"):
        load_yaml(tmp_path / "binary.yaml", Outer)
    with pytest.raises(KdmarlError, match="is not a file"):
        load_yaml(tmp_path, Outer)
    with pytest.raises(KdmarlError, match="is not a file"):
        load_yaml("/dev/zero", Outer)
    with pytest.raises(KdmarlError, match="is not a path .*; give the path of a YAML file"):
        load_yaml("a\0b", Outer)
    with pytest.raises(KdmarlError, match="is not a path .*; give the path of a file"):
        resolve("a\0b")


class Wheels(msgspec.Struct, forbid_unknown_fields=True, tag_field="kind", tag="wheels"):
    speed: float = 1.0
    gear: Literal["low", "high"] = "low"


class Legs(msgspec.Struct, forbid_unknown_fields=True, tag_field="kind", tag="legs"):
    stride: float = 1.0
    gear: Literal["walk", "trot"] = "walk"


class Machine(msgspec.Struct, forbid_unknown_fields=True):
    drive: Wheels | Legs | None = None
    drives: list[Wheels | Legs] = []
    pair: tuple[int, Wheels | Legs] | None = None
    named: dict[str, Wheels | Legs] = {}
    views: dict[Literal["expert", "student"], Inner] = {}
    stamped: bool | Literal["auto"] = "auto"
    output: Literal["normalized", "physical"] | Inner | None = None


WHEELS = {"kind": "wheels"}
LEGS = {"kind": "legs"}
ONLY_WHEELS = "remove it, or change kind (wheels has only kind, speed, gear)"
ONLY_LEGS = "remove it, or change kind (legs has only kind, stride, gear)"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        # A key of another kind of struct than the one in the file.
        ({"drive": WHEELS | {"stride": 1}}, f"$.drive: unknown key 'stride'; {ONLY_WHEELS}"),
        ({"drive": {"speed": 1} | LEGS}, f"$.drive: unknown key 'speed'; {ONLY_LEGS}"),
        ({"drives": [WHEELS, LEGS | {"speed": 1}]}, f"$.drives[1]: unknown key 'speed'; {ONLY_LEGS}"),
        ({"pair": [1, LEGS | {"speed": 1}]}, f"$.pair[1]: unknown key 'speed'; {ONLY_LEGS}"),
        (
            {"named": {"a": LEGS | {"stride": 1}, "b": WHEELS | {"stride": 1}}},
            f"$.named[...]: unknown key 'stride'; {ONLY_WHEELS}",
        ),
        # A key that no kind has: only keys of the kind in the file are suggested.
        ({"drive": WHEELS | {"sped": 1}}, "$.drive: unknown key 'sped'; did you mean 'speed'?"),
        ({"drive": LEGS | {"sped": 1}}, "$.drive: unknown key 'sped'; remove it"),
        # Values and keys out of a list.
        (
            {"drive": LEGS | {"gear": "trott"}},
            "gear: invalid enum value 'trott'; give one of walk, trot; did you mean 't",
        ),
        ({"named": {"a": WHEELS, "b": LEGS | {"gear": "low"}}}, "invalid enum value 'low'; give one of walk, trot"),
        ({"stamped": "ja"}, "$.stamped: invalid enum value 'ja'; give one of true, false, auto"),
        (
            {"output": "normalised"},
            "'normalised'; give one of normalized, physical, a mapping; did you mean 'normalized'?",
        ),
        (
            {"views": {"students": {}}},
            "$.views: unknown key 'students'; give one of expert, student; did you mean 'studen",
        ),
        (
            {"drive": {"kind": "weels"}},
            "$.drive.kind: unknown kind 'weels'; give one of legs, wheels; did you mean 'wheel",
        ),
        ({"output": "a - at `$.drive`"}, "$.output: invalid enum value 'a - at `$.drive`'; give one of normalized"),
    ],
)
def test_what_would_fit_is_named(data, message):
    with pytest.raises(KdmarlError) as from_yaml:
        convert(data, Machine, "file")
    assert f"{from_yaml.value} ".startswith("file: $")
    assert message in str(from_yaml.value)
    with pytest.raises(KdmarlError) as from_json:
        decode_json(msgspec.json.encode(data), Machine, "file")
    assert str(from_json.value) == str(from_yaml.value)


@pytest.mark.parametrize(
    "text",
    [
        '{"drive": {"kind": "legs", "speed": 1}',  # breaks off
        '{"drives": [{"kind": "legs", "speed": 1}], "drives": []}',
        '{"drive": {"kind": "legs", "speed": 1}, "drive": 3}',
    ],
)
def test_bad_json_around_an_unknown_key(text):
    with pytest.raises(KdmarlError, match="unknown key 'speed'; remove it$"):
        decode_json(text, Machine, "file")


@pytest.mark.parametrize("number", ["1e-3", "1.0e-3", "0.001", "1E-3"])
def test_scientific_notation_is_a_number(tmp_path, number):
    path = tmp_path / "good.yaml"
    path.write_text(f"name: a\ninner: {{learning_rate: {number}}}")
    assert load_yaml(path, Outer).inner.learning_rate == 0.001


FIRST_AT_ONCE = """
import sys, threading
import msgspec
from kdmarl_core.contract.files import convert
sys.setswitchinterval(1e-6)
inner = [msgspec.defstruct(f"Inner{i}", [("x", int)]) for i in range(100)]
types = [msgspec.defstruct(f"Outer{i}", [("a", one), ("b", list[one])]) for i, one in enumerate(inner)]
barrier = threading.Barrier(8)
def read():
    for type_ in types:
        barrier.wait()
        convert({"a": {"x": 1}, "b": [{"x": 2}]}, type_, "")
threads = [threading.Thread(target=read) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"""


def test_several_threads_may_be_the_first_to_read_a_type():
    assert subprocess.run([sys.executable, "-c", FIRST_AT_ONCE], timeout=30).returncode == 0
