"""Bodies, their density, and pedicles."""
