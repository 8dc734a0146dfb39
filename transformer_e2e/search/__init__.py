"""What to try next and what to stop: pure functions from a sweep spec and its trials."""
