"""Judges a run from where its robots were: goals or targets, collisions, clearance, and their picture."""
