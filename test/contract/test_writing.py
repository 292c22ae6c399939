"""Files are replaced whole or stay as they were; what the system refuses is one sentence."""

from pathlib import Path

import pytest

from kdmarl_core.contract import KdmarlError
from kdmarl_core.contract.writing import replacing, writing


def test_a_file_is_replaced_and_its_folder_made(tmp_path):
    path = tmp_path / "deep/down/a.txt"
    for text in ("one", "two"):
        with replacing(path) as scratch:
            scratch.write_text(text)
        assert path.read_text() == text
    assert [each.name for each in path.parent.iterdir()] == ["a.txt"]


def test_neighbours_of_one_stem_are_not_in_each_others_way(tmp_path):
    results, page = tmp_path / "main.json", tmp_path / "main.md"
    with replacing(page) as of_page:
        of_page.write_text("page")
        with replacing(results) as of_results:
            of_results.write_text("results")
    assert (page.read_text(), results.read_text()) == ("page", "results")


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ValueError("broken"), KeyboardInterrupt()])
def test_what_fails_half_way_leaves_the_old_file_and_no_scratch(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")
    expected = KdmarlError if isinstance(error, OSError) else type(error)

    def cut_off():
        with replacing(path) as scratch:
            scratch.write_text("ne")
            raise error

    with pytest.raises(expected) as caught:
        cut_off()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    if isinstance(error, OSError):
        assert str(caught.value) == (
            f"{path}: cannot be written (No space left on device); free the disk or choose another folder"
        )


def test_a_full_device_is_named():
    full = Path("/dev/full")
    with pytest.raises(KdmarlError, match=r"full: cannot be written \(No space left on device\)"), writing(full):
        full.write_text("x")


def test_folders_and_files_in_the_way(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for path, reason in ((tmp_path / "file/a", "Not a directory|File exists"), (tmp_path / "folder", "Is a directory")):
        with pytest.raises(KdmarlError, match=reason), replacing(path) as scratch:
            scratch.write_text("x")
