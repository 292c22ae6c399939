"""Batched environments: the interface and its tasks."""
