"""From the budget of a robot type to the size of its student."""
