"""Gazebo Sim: worlds, robots and bridges as files, generated from a swarm file."""
