"""SMAX: the battles of the StarCraft Multi-Agent Challenge, without StarCraft."""
