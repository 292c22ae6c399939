"""Simulated robots on ROS topics."""
