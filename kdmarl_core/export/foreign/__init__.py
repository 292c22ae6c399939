"""Networks of other projects: read, matched with a description, and adapted to be policy files."""
