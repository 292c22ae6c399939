"""Classes and functions that a file names by ``package.module:Name``; for training machines only."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from pathlib import Path
from typing import Any, TypeVar

from kdmarl_core.errors import KdmarlError, did_you_mean, with_article

T = TypeVar("T")


def load_class(name: str, base: type[T], where: str, folder: Path | None = None) -> type[T]:
    """The class that is called ``name``, a subclass of ``base``; errors as :func:`load_object`.

    Raises:
        KdmarlError: what is found is not such a class.
    """
    found = load_object(name, where, folder)
    if not (isinstance(found, type) and issubclass(found, base)):
        what = "another class" if isinstance(found, type) else with_article(type(found).__name__)
        raise KdmarlError(f"{where}: {name} is {what}, not a subclass of {base.__module__}.{base.__qualname__}")
    return found


def load_object(name: str, where: str, folder: Path | None = None) -> Any:
    """What ``name`` says, such as ``package.module:Name`` or ``package.module:Class.method``.

    Args:
        name: a module and, after a colon, what is in it.
        where: begins the sentence of an error.
        folder: where modules are looked for before Python's own path.

    Raises:
        KdmarlError: it is not written so, the module is not found or fails, it has nothing of that name, or ``folder``
            has a module of the name of another that is already imported.
    """
    module_name, colon, attributes = name.partition(":")
    if not colon or not module_name or not attributes:
        raise KdmarlError(f"{where}: '{name}' is not the name of a class or function; give it as package.module:Name")
    found, holder = _import(module_name, name, where, folder), f"module {module_name}"
    for attribute in attributes.split("."):
        if not hasattr(found, attribute):
            remedy = did_you_mean(attribute, [known for known in dir(found) if not known.startswith("_")])
            remedy = remedy if remedy.endswith("?") else "check its spelling"
            raise KdmarlError(f"{where}: {name}: {holder} has no '{attribute}'; {remedy}")
        found = getattr(found, attribute)
        kind = with_article(type(found).__name__)
        holder = f"class {attribute}" if isinstance(found, type) else f"'{attribute}', {kind},"
    return found


def _import(module: str, name: str, where: str, folder: Path | None) -> Any:
    path = str(folder.resolve()) if folder else None
    if path:
        _refuse_another(module, name, where, path)
        sys.path.insert(0, path)
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = error.name or module
        if module == missing or module.startswith(f"{missing}."):
            raise KdmarlError(
                f"{where}: {name}: there is no module '{missing}'; install it, or put it next to the file or into "
                "PYTHONPATH"
            ) from None
        raise KdmarlError(f"{where}: {name}: {module} needs '{missing}', which is not installed; install it") from None
    except Exception as error:
        why = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise KdmarlError(f"{where}: {name}: importing {module} fails ({why}); fix it") from error
    finally:
        if path and path in sys.path:
            sys.path.remove(path)


def _refuse_another(module: str, name: str, where: str, folder: str) -> None:
    """Python has one module of a name in a process: it would give the one that it has, not that in ``folder``."""
    parts, searched = module.split("."), [folder]
    for end in range(1, len(parts) + 1):
        part = ".".join(parts[:end])
        finders = [finder for finder in map(pkgutil.get_importer, searched) if finder]
        spec = next((spec for finder in finders if (spec := finder.find_spec(part, None))), None)
        if spec is None:
            return
        imported = sys.modules.get(part)
        if imported is not None:
            known = getattr(imported, "__file__", None)
            if spec.loader is None and known:  # a folder without __init__.py gives way to a package
                return
            if spec.origin and spec.loader and (known is None or Path(known).resolve() != Path(spec.origin).resolve()):
                found = known or "Python itself"
                raise KdmarlError(
                    f"{where}: {name}: {spec.origin} cannot be imported, since module '{part}' is already imported "
                    f"from {found}; rename one of them"
                )
        searched = list(spec.submodule_search_locations or [])
