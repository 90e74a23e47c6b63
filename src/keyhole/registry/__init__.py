"""A clinic's own operations and their outcomes, in a database that forgets nothing."""
