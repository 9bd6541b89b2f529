"""Floor 1: the warehouse, one DuckDB file of rows derived from the landing zone and from extracts of the ops store.

Nothing in it is truth: delete it, and the next build gives the same rows with the same ids. One function opens it
(:func:`~meshline_dagster.warehouse.connection.open_warehouse`); a build goes

    prepare (landing views, extracts, mode) -> run_dbt (the models) -> publish (Parquet by atomic swap)

and readers (delivery, CLI, pages) see only what is published.
"""
