"""What policy nodes cost: `kdmarl-swarm bench`."""
