"""Stands in for ROS 2's ``launch_ros`` as :mod:`launch` beside it does for ``launch``."""
