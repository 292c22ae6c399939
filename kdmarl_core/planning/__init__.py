"""Choose the size of a robot type's student from its budget."""
