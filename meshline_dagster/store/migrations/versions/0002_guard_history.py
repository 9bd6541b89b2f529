"""Let the database itself refuse what would falsify history; index what is open and what is dead.

- a posting changes its state only along the transitions of the ledger, and never its identity or content; it is never deleted;
- an attempt is closed once and never written again;
- an audit entry is never changed or deleted.
"""

from collections.abc import Sequence

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_STEPS = {
    "planned": "sending superseded shadowed dead",
    "sending": "posted rejected retry_due unknown partial dead",
    "retry_due": "sending superseded dead",
    "unknown": "posted retry_due partial rejected unknown dead",
    "partial": "sending posted retry_due unknown rejected dead",
    "shadowed": "planned superseded",
    "rejected": "superseded",
    "dead": "superseded unknown",
}
_LEGAL = "".join(f" {before}>{after}" for before, found in _STEPS.items() for after in found.split()) + " "
_FROZEN = (
    *("destination", "entity_key", "document_kind", "event_id", "revision", "key", "external_id", "payload"),
    *("fingerprint", "amount", "currency", "document_date", "event_time"),
)
_OPEN = "state IN ('planned', 'sending', 'retry_due', 'unknown', 'partial')"

_GUARDS: Sequence[tuple[str, str, str, str, str]] = (
    (
        *("posting_step", "posting", "UPDATE OF state"),
        f"NEW.state <> OLD.state AND FIND('{_LEGAL}', ' ' || OLD.state || '>' || NEW.state || ' ') = 0",
        "a posting cannot make this step",
    ),
    (
        *("posting_frozen", "posting", f"UPDATE OF {', '.join(_FROZEN)}"),
        " OR ".join(f"NEW.{name} IS DISTINCT FROM OLD.{name}" for name in _FROZEN),
        "what a posting says is never changed: open a new revision",
    ),
    ("posting_kept", "posting", "DELETE", "", "postings are never deleted"),
    ("attempt_closed_once", "attempt", "UPDATE", "OLD.ended_at IS NOT NULL", "an attempt is closed once"),
    ("attempt_kept", "attempt", "DELETE", "", "attempts are never deleted"),
    ("audit_entry_fixed", "audit_entry", "UPDATE", "", "audit entries are never changed"),
    ("audit_entry_kept", "audit_entry", "DELETE", "", "audit entries are never deleted"),
)


def upgrade() -> None:
    op.drop_index("ix_posting_destination_state_shard", table_name="posting")
    op.create_index("ix_posting_destination_state", "posting", ["destination", "state"])
    for name, column in (("ix_posting_open", _OPEN), ("ix_posting_dead", "state = 'dead'")):
        columns = "destination, entity_key, event_time" if name == "ix_posting_open" else "destination, entity_key"
        op.execute(f"CREATE INDEX {name} ON posting ({columns}) WHERE {column}")
    connection = op.get_bind()
    sqlite = connection.dialect.name == "sqlite"
    for name, table, on, condition, message in _GUARDS:
        for statement in (_sqlite if sqlite else _postgres)(name, table, on, condition, message):
            connection.exec_driver_sql(statement)


def _sqlite(name: str, table: str, on: str, condition: str, message: str) -> list[str]:
    condition = condition.replace("IS DISTINCT FROM", "IS NOT").replace("FIND(", "instr(")
    when = f"WHEN {condition} " if condition else ""
    return [f"CREATE TRIGGER {name} BEFORE {on} ON {table} {when}BEGIN SELECT RAISE(ABORT, '{message}'); END"]


def _postgres(name: str, table: str, on: str, condition: str, message: str) -> list[str]:
    when = f"WHEN ({condition.replace('FIND(', 'strpos(')}) " if condition else ""
    body = f"BEGIN RAISE EXCEPTION '{message}'; END"
    return [
        f"CREATE FUNCTION meshline_{name}() RETURNS trigger LANGUAGE plpgsql AS $$ {body} $$",
        f"CREATE TRIGGER {name} BEFORE {on} ON {table} FOR EACH ROW {when}EXECUTE FUNCTION meshline_{name}()",
    ]
