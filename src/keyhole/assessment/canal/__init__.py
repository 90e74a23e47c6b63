"""Canal, dural sac and lateral recess."""
