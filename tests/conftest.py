"""What holds for every test."""

from hypothesis import settings

settings.register_profile("keyhole", deadline=None, derandomize=True)  # a busy machine is no failure; same examples
settings.load_profile("keyhole")
