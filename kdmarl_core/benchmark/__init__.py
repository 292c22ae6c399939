"""Benchmarks: many experiments, kept unit by unit, and their page."""
