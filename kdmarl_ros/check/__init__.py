"""What ``kdmarl-swarm check`` does: look at a robot before its wheels touch the ground."""
