"""How a registry comes from one version to the next and back: alembic's revisions, part of the package."""
