"""Strict YAML: one sentence for every kind of bad file."""

import subprocess
import sys

import msgspec
import pytest

from kdmarl_core.contract import KdmarlError
from kdmarl_core.contract.files import load_yaml


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
        ("name: a\nname: b", "line 2: not valid YAML: key 'name' stands twice"),
        ("name: [", "not valid YAML"),
        ("{[1]: 2}", "a key must be a plain value"),
        ("", "expected `object`, got `null`"),
        ("name: !!python/object:os.system x", "not valid YAML"),
        ("name: a\ninner: {learning_rate: !!float x}", "line 2: not valid YAML: a value that is no float"),
        ("name: 2001-99-99", "a value that is no timestamp"),
        ("name: !!timestamp x", "a value that is no timestamp"),
        ("name: !!bool x", "a value that is no bool"),
        ("name: " + "9" * 5000, "a value that is no int"),
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
