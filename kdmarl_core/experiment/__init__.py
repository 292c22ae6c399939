"""Experiment files: one says everything from training to evaluation."""
