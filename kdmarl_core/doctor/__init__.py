"""Checks of all that must be right before a policy drives a robot, without ROS."""
