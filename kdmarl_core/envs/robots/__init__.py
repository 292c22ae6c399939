"""The robots simulator and its tasks."""
