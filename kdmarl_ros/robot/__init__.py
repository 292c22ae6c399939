"""A robot driven by its policy: the node, its inputs, commands and diagnostics."""
