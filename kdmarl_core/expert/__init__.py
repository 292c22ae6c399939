"""Stage 1: train the cooperative expert."""
