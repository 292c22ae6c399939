"""The ``kdmarl`` command."""

from kdmarl_core.cli.main import main

__all__ = ["main"]
