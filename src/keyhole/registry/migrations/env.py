"""What alembic runs: the revisions on the connection that `database.migrate` hands over, in its transaction."""

from alembic import context

from keyhole.registry.models import VERSION_TABLE, Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table=VERSION_TABLE,
    transactional_ddl=True,  # SQLite too: a revision happens whole or not at all
    transaction_per_migration=False,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
