"""Judges a run from its robots' tracks: goals or targets, collisions, clearance, and a picture."""
