"""Published norms and thresholds, and what they point at."""
