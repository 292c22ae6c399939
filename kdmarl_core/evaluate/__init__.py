"""Measure policies: returns, success, collisions, retention, cost."""
