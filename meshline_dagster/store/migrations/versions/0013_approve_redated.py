"""Approvals of accounting documents that are re-dated because their period is closed."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_OLD = "kind IN ('replay', 'reversals', 'restatement')"
_NEW = "kind IN ('replay', 'reversals', 'restatement', 'redated')"


def upgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name != "sqlite":
        op.drop_constraint(op.f("ck_approval_kind"), "approval", type_="check")
        op.create_check_constraint(op.f("ck_approval_kind"), "approval", _NEW)
        return
    # Made anew, the table would lose its triggers, and postings refer to it; a check alone is changed in the schema, as
    # https://www.sqlite.org/lang_altertable.html describes it for what changes nothing that is stored.
    version = connection.exec_driver_sql("PRAGMA schema_version").scalar_one()
    connection.exec_driver_sql("PRAGMA writable_schema=ON")
    connection.exec_driver_sql(
        "UPDATE sqlite_master SET sql = replace(sql, ?, ?) WHERE type = 'table' AND name = 'approval'", (_OLD, _NEW)
    )
    connection.exec_driver_sql(f"PRAGMA schema_version={version + 1}")
    connection.exec_driver_sql("PRAGMA writable_schema=OFF")
