"""Measure what policy nodes cost: ``kdmarl-swarm bench``."""
