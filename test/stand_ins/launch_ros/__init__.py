"""Stand-in for ROS 2's ``launch_ros``, like :mod:`launch` for ``launch``."""
