"""The node that judges a running swarm."""
