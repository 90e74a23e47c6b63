"""A clinic's own operations and their outcomes, in a database that forgets nothing."""

from keyhole.registry.audit import Entry, Work, history, working
from keyhole.registry.database import Registry, create, migrate, open_registry

__all__ = ["Entry", "Registry", "Work", "create", "history", "migrate", "open_registry", "working"]
