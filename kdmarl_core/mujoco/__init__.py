"""A swarm in MuJoCo: physics and sensors that share nothing with the training simulator."""
