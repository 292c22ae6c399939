"""Modules that a file names: each is the one next to the file, or is refused where Python has another of its name."""

import re
import sys

import pytest

from kdmarl_core.contract import KdmarlError
from kdmarl_core.envs.dotted import load_object
from kdmarl_core.envs.kinds import read_task


@pytest.fixture
def folders(tmp_path):
    """Two folders with modules of the same names, each of which says where it lies."""
    for name in ("A", "B"):
        folder = tmp_path / name
        for inner in ("crate_of_a_test", "heap_of_a_test"):
            (folder / inner).mkdir(parents=True)
        for file in (
            "dup_of_a_test.py",
            "crate_of_a_test/__init__.py",
            "crate_of_a_test/inner.py",
            "heap_of_a_test/inner.py",
            f"heap_of_a_test/only_{name}.py",
        ):
            (folder / file).write_text(f"here = {name!r}\n")
    return tmp_path / "A", tmp_path / "B"


@pytest.mark.parametrize(
    ("module", "file"),
    [
        ("dup_of_a_test", "dup_of_a_test.py"),
        ("crate_of_a_test", "crate_of_a_test/__init__.py"),
        ("heap_of_a_test.inner", "heap_of_a_test/inner.py"),
    ],
)
def test_a_second_file_of_one_name_is_refused(folders, module, file):
    first, second = folders
    assert load_object(f"{module}:here", "f.yaml", first) == "A"
    sentence = (
        f"f.yaml: {module}:here: {second / file} cannot be imported, since module '{module}' is already imported from "
        f"{first / file}; rename one of them"
    )
    with pytest.raises(KdmarlError, match=f"^{re.escape(sentence)}$"):
        load_object(f"{module}:here", "f.yaml", second)
    assert load_object(f"{module}:here", "f.yaml", first) == "A"
    assert str(second) not in sys.path


def test_a_second_package_of_one_name_is_refused_whatever_is_wanted_of_it(folders):
    first, second = folders
    load_object("crate_of_a_test:here", "f.yaml", first)
    with pytest.raises(
        KdmarlError, match="B/crate_of_a_test/__init__.py cannot be imported, since .*'crate_of_a_test'"
    ):
        load_object("crate_of_a_test.inner:here", "f.yaml", second)


def test_one_file_may_be_named_again_and_by_another_path(folders, monkeypatch):
    first, second = folders
    monkeypatch.chdir(first)
    (second / "dup_of_a_test.py").unlink()
    (second / "dup_of_a_test.py").symlink_to(first / "dup_of_a_test.py")
    load_object("dup_of_a_test:here", "f.yaml", first)
    module = sys.modules["dup_of_a_test"]
    for folder in (first, first / "crate_of_a_test" / "..", second, first.relative_to(first)):
        assert load_object("dup_of_a_test:here", "f.yaml", folder) == "A"
    assert sys.modules["dup_of_a_test"] is module


def test_folders_without_init_share_a_name(folders):
    first, second = folders
    assert load_object("heap_of_a_test.only_A:here", "f.yaml", first) == "A"
    assert load_object("heap_of_a_test.only_B:here", "f.yaml", second) == "B"


def test_modules_from_elsewhere_are_found_next_to_a_folder_that_lacks_them(folders):
    first, second = folders
    (first / "numpy").mkdir()  # data, and no package
    (first / "numpy" / "random.py").write_text("")
    assert load_object("numpy.random:default_rng", "f.yaml", first) is sys.modules["numpy"].random.default_rng
    assert load_object("itertools:count", "f.yaml", second)


@pytest.mark.parametrize(("module", "known"), [("json", "json/__init__.py"), ("itertools", "Python itself")])
def test_a_file_that_is_called_as_an_imported_module_is_refused(folders, module, known):
    (folders[0] / f"{module}.py").write_text("here = 'A'\n")
    with pytest.raises(
        KdmarlError, match=rf"A/{module}.py cannot be .*'{module}' is already imported from .*{known}; r"
    ):
        load_object(f"{module}:here", "f.yaml", folders[0])


def test_tasks_of_this_package_do_not_look_into_the_folder(folders):
    (folders[0] / "kdmarl_core").mkdir()
    (folders[0] / "kdmarl_core" / "__init__.py").write_text("")
    assert read_task({"kind": "particle", "scenario": "simple_spread"}, "f.yaml", folders[0]).name


@pytest.mark.parametrize(
    ("attributes", "sentence"),
    [
        ("Pack.x", "class Pack has no 'x'; check its spelling"),
        ("Pack.Inner.weihgt", "class Inner has no 'weihgt'; did you mean 'weight'?"),
        ("Pack.Inner.weight.x", "'weight', an int, has no 'x'; check its spelling"),
        ("Pakc", "module packs_of_a_test has no 'Pakc'; did you mean 'Pack'?"),
    ],
)
def test_what_lacks_the_name_is_said(tmp_path, attributes, sentence):
    (tmp_path / "packs_of_a_test.py").write_text("class Pack:\n    class Inner:\n        weight = 3\n")
    name = f"packs_of_a_test:{attributes}"
    with pytest.raises(KdmarlError, match=f"^{re.escape(f'task.env: {name}: {sentence}')}$"):
        load_object(name, "task.env", tmp_path)


def test_a_name_without_a_module():
    with pytest.raises(KdmarlError, match="^task.env: 'own' is not the name of a class or function; give it as pack"):
        load_object("own", "task.env")
