"""Alembic's environment: it runs inside the connection that ``open_store`` hands over."""

from alembic import context

from meshline_dagster.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table="meshline_schema_version",
    transactional_ddl=False,
)
context.run_migrations()
