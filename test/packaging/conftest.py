"""What setup.py says."""

import importlib
import os

import pytest

from support import REPOSITORY


@pytest.fixture(scope="session")
def distribution():
    importlib.import_module("setuptools")  # gives distutils on Python 3.12
    run_setup = importlib.import_module("distutils.core").run_setup
    before = os.getcwd()
    os.chdir(REPOSITORY)
    try:
        return run_setup("setup.py", stop_after="init")
    finally:
        os.chdir(before)
