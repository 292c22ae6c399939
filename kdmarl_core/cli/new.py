"""What ``kdmarl new`` does: fill the templates of one kind with a name.

A kind is a folder of ``templates``. Its files are written without their ending ``.in`` and with the name in place of
``NAME``; only ``next.txt`` is shown instead, and holds the commands that come next.

They are templates of :class:`string.Template`: the name is all that is filled in, and jinja2, which shows benchmarks,
comes with the extra ``train``, while a robot type may be described where nothing is trained.
"""

from __future__ import annotations

import importlib.util
import keyword
import os
import re
import shlex
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from importlib import resources
from pathlib import Path
from string import Template

from rich.console import Console

from kdmarl_core.contract.files import parse_yaml
from kdmarl_core.contract.writing import writing
from kdmarl_core.errors import KdmarlError, printable

NEXT = "next.txt"


def new(kind: str, name: str, folder: Path) -> None:
    """Write the files of a kind into ``folder/name`` and print what to do with them.

    Args:
        kind: a folder of ``templates``.
        name: of what is begun, and of its folder, files and Python module.
        folder: in which the folder ``name`` is, or is made.

    Raises:
        KdmarlError: there cannot be a module of that name, a file is there already, or one cannot be written. Then
            none is.
    """
    templates = _templates(kind)
    commands = templates.pop(NEXT)
    _check_name(kind, name, templates)
    target = folder / name
    files = {_named(file, name): Template(text).substitute(name=name) for file, text in templates.items()}
    if there := [str(target / file) for file in files if os.path.lexists(target / file)]:
        raise KdmarlError(f"{', '.join(there)}: already there, and kept as it is; choose another name or --folder")
    _write(target, files)
    lines = [f"cd {shlex.quote(str(target))}", *Template(commands).substitute(name=name).splitlines()]
    shown = [f"{target}: {', '.join(files)}", "", "next:", "", *(f"    {line}" for line in lines)]
    Console(soft_wrap=True, markup=False, highlight=False).print("\n".join(map(printable, shown)))


def _templates(kind: str) -> dict[str, str]:
    """Name of each file of a kind → its text."""
    folder = resources.files("kdmarl_core.cli") / "templates" / kind
    files = sorted(folder.iterdir(), key=lambda file: file.name)
    return {file.name: file.read_text(encoding="utf-8") for file in files}


def _named(file: str, name: str) -> str:
    """What the file of a template is called."""
    return file.removesuffix(".in").replace("NAME", name)


def _check_name(kind: str, name: str, templates: Iterable[str]) -> None:
    """See that all files of a kind can have this name, and that Python finds them by it.

    Raises:
        KdmarlError: they cannot.
    """
    reason = _wrong(name, templates)
    if not reason:
        return
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+", "_", name).lower().lstrip("_0123456789").rstrip("_")
    better = f"{words or 'my'}_{kind}" if _wrong(words, templates) else words
    raise KdmarlError(f"name '{name}' {reason}; give another, such as {better}")


def _wrong(name: str, templates: Iterable[str]) -> str:
    """What keeps ``name`` from being used; empty if nothing does."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        return "does not consist of small letters (a to z), digits and _ with a letter first"
    if keyword.iskeyword(name):
        return "is a word of Python's own"
    if not isinstance(parse_yaml(name), str):
        return "is not read as a word in YAML"
    for file in (_named(file, name) for file in templates):
        module = file.removesuffix(".py")
        if module != file and (where := _place(module)):
            return f"needs a file {file}, and Python has a module {module} already ({where})"
    return ""


def _place(module: str) -> str:
    """Where a module is that Python finds by this name; empty if there is none."""
    if module in {*sys.stdlib_module_names, "test"}:  # which that list leaves out
        return "in its standard library"
    spec = importlib.util.find_spec(module)
    return (spec and spec.origin) or ""  # a folder without __init__.py has no origin, and gives way to any module


def _write(folder: Path, files: dict[str, str]) -> None:
    """Write all ``files``, name → text, into ``folder``; if one cannot be written, what was made is removed again.

    Raises:
        KdmarlError: as :func:`writing`.
    """
    with writing(folder), ExitStack() as undo:
        for each in reversed([each for each in (folder, *folder.parents) if not each.exists()]):
            each.mkdir()
            undo.callback(each.rmdir)
        for name, text in files.items():
            path = folder / name
            with path.open("x", encoding="utf-8") as file:  # x: what another process writes meanwhile is kept, too
                undo.callback(path.unlink)
                file.write(text)
        undo.pop_all()
