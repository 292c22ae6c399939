"""A whole swarm: which processes it needs, and who starts and ends them."""
