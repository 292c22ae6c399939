"""Recordings of robots as MCAP files, and policies driven over them."""
