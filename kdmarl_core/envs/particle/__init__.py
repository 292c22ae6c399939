"""The cooperative MPE benchmark tasks, batched and compiled."""
