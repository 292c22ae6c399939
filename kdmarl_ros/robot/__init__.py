"""A robot under its policy: the node, what it hears, what it commands, and what it says of itself."""
