"""Turn trained students into policy files."""
