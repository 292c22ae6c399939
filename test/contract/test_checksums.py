"""Lists of checksums: those of sha256sum, kept when a file is written."""

import shutil
import subprocess

import pytest

from kdmarl_core.contract import KdmarlError
from kdmarl_core.contract.checksums import SUMS, note_sum, read_sums
from support import REPOSITORY


def test_sha256sum_agrees(tmp_path):
    for name in ("b.onnx", "a.onnx"):
        (tmp_path / name).write_bytes(name.encode())
    note_sum(tmp_path / "a.onnx")
    assert not (tmp_path / SUMS).exists()  # a folder has a list when somebody wants one
    (tmp_path / SUMS).touch()
    for name in ("b.onnx", "a.onnx"):
        note_sum(tmp_path / name)
    expected = subprocess.run(["sha256sum", "a.onnx", "b.onnx"], cwd=tmp_path, capture_output=True, text=True).stdout
    assert (tmp_path / SUMS).read_text() == expected
    (tmp_path / "a.onnx").write_bytes(b"another")
    before = read_sums(tmp_path)
    note_sum(tmp_path / "a.onnx")
    assert read_sums(tmp_path)["a.onnx"] != before["a.onnx"]
    assert read_sums(tmp_path)["b.onnx"] == before["b.onnx"]


@pytest.mark.parametrize("line", ["x", "0" * 64 + "  ../a", "0" * 63 + "  a", "0" * 64 + "  a\n" + "1" * 64 + "  a"])
def test_what_is_no_list_is_refused(tmp_path, line):
    (tmp_path / SUMS).write_text(line + "\n")
    with pytest.raises(KdmarlError, match=f"{SUMS} line [12]: no checksum"):
        read_sums(tmp_path)


def test_the_policies_of_this_repository_are_those_of_its_list():
    assert shutil.which("sha256sum")
    done = subprocess.run(["sha256sum", "--check", "--strict", SUMS], cwd=REPOSITORY / "models", capture_output=True)
    assert done.returncode == 0, done.stdout
    assert read_sums(REPOSITORY / "models").keys() == {path.name for path in (REPOSITORY / "models").glob("*.onnx")}
