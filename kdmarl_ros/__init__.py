"""ROS 2 nodes that run one distilled policy per robot."""
