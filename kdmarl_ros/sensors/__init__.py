"""The messages of robots' sensors: each sensor is one file."""
