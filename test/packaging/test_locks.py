"""The locks that `make setup` and `make demo` install from are complete, since pip resolves nothing there."""

import re
import sys
from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from support import REPOSITORY

PYTHONS = ("3.10", "3.11", "3.12", "3.13")
EXTRAS = {"demo": ("ros", "sim"), "setup": ("ros", "sim", "train", "smax", "dev")}
APART = re.compile("torch|triton|cuda-|nvidia-")
"""Torch, and what only its CUDA build needs: pip resolves these itself."""
MAKEFILE = {"pip", "uv"}
"""Pinned in constraints.txt though nothing requires them: the Makefile installs them."""

every_lock = pytest.mark.parametrize(
    ("environment", "python"), [(environment, python) for environment in EXTRAS for python in PYTHONS]
)


def applies(requirement, python, extra=""):
    environment = {"python_version": python, "python_full_version": f"{python}.0", "extra": extra}
    return requirement.marker is None or requirement.marker.evaluate(environment)


def pins(path, python):
    """Version by canonical name."""
    lines = (REPOSITORY / path).read_text().splitlines()
    requirements = [Requirement(line) for line in lines if re.match(r"\w", line)]
    return {
        canonicalize_name(requirement.name): re.fullmatch("==(.+)", str(requirement.specifier)).group(1)
        for requirement in requirements
        if applies(requirement, python)
    }


def locked(environment, python):
    return pins(f"locks/{environment}-{python}.txt", python)


def required(distribution, environment, python):
    """What the package itself requires for an environment, without torch."""
    extras = [line for extra in EXTRAS[environment] for line in distribution.extras_require[extra]]
    requirements = map(Requirement, [*distribution.install_requires, *extras])
    return [each for each in requirements if applies(each, python) and each.name != "torch"]


@every_lock
def test_all_that_the_package_requires_is_locked_in_its_range(distribution, environment, python):
    versions = locked(environment, python)
    for requirement in required(distribution, environment, python):
        assert requirement.specifier.contains(versions[canonicalize_name(requirement.name)]), requirement


@every_lock
def test_a_lock_has_the_versions_of_constraints(environment, python):
    constraints = pins("constraints.txt", python)
    for name, version in locked(environment, python).items():
        assert constraints.get(name, version) == version, name


@pytest.mark.parametrize("python", PYTHONS)
def test_every_constraint_is_used(python):
    assert pins("constraints.txt", python).keys() - locked("setup", python).keys() == {"torch", *MAKEFILE}


@pytest.mark.parametrize("python", PYTHONS)
def test_both_environments_have_the_same_versions(python):
    assert locked("demo", python).items() <= locked("setup", python).items()


@every_lock
def test_a_lock_has_what_builds_the_package_and_nothing_but_pins(environment, python):
    assert "setuptools" in locked(environment, python)
    for line in (REPOSITORY / f"locks/{environment}-{python}.txt").read_text().splitlines():
        assert re.fullmatch(r"[a-z0-9-]+==[a-z0-9.]+", line)
        assert not APART.match(line)


@pytest.mark.parametrize("environment", EXTRAS)
def test_what_the_locked_packages_require_is_locked(distribution, environment):
    """As far as the packages are installed here, in their locked versions."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    versions = locked(environment, python)
    pending = required(distribution, environment, python)
    pending += [Requirement("torch")] if environment == "setup" else []
    seen = set()
    while pending:
        requirement = pending.pop()
        if str(requirement) in seen:
            continue
        seen.add(str(requirement))
        name = canonicalize_name(requirement.name)
        if not APART.match(name):
            assert requirement.specifier.contains(versions[name]), requirement
        for extra in ("", *requirement.extras):
            pending += [each for each in requirements_of(name, versions.get(name)) if applies(each, python, extra)]


def requirements_of(name, version):
    """Of an installed package, if it has that version; None is any."""
    try:
        installed = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return []
    return [Requirement(line) for line in installed.requires or []] if version in (None, installed.version) else []
