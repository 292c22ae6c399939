"""A whole swarm: which processes it needs, and how they are started and stopped."""
