"""Train a cooperative expert offline and distil it into small per-robot policies."""

__version__ = "0.1.0"
