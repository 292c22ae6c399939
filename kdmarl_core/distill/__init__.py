"""Stage 2: distil the expert into small students."""
