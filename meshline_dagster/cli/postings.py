"""``meshline postings``: what is not settled in the ledger, and the two ways out for what is dead."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from meshline_dagster.cli.stores import actor, now, opened_store
from meshline_dagster.core.ledger import OPEN_STATES, PostingState

__all__ = ["app"]

app = typer.Typer(help="What the ledger has not settled, and what to do with what is dead.", no_args_is_help=True)

Key = Annotated[str, typer.Argument(help="The key under the posting in `meshline postings list`.")]


@app.command("list")
def list_postings(
    state: Annotated[
        list[PostingState] | None, typer.Option(help="Only in this state; may be given again. [default: open and dead]")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    limit: Annotated[int, typer.Option(help="At most so many; 0: all.", min=0)] = 50,
) -> None:
    """The dead first, then what is open, the oldest first."""
    from meshline_dagster.delivery.findings import entity_trace_key
    from meshline_dagster.store.exceptions import open_keys
    from meshline_dagster.store.ledger_reports import postings_in

    states = state or [one for one in PostingState if one in OPEN_STATES or one is PostingState.DEAD]
    with opened_store() as store, store.read() as connection:
        rows, counts = postings_in(connection, states, limit=limit or None)
        waiting = open_keys(connection, "delivery")
    for row in rows:
        about = entity_trace_key(row["destination"], row["entity_key"])
        row["exception"] = about if about in waiting else None
        typer.echo(json.dumps(_plain(row)) if as_json else _text(row))
    if not as_json:
        total = ", ".join(f"{count:,} {one.value}" for one, count in sorted(counts.items()))
        typer.echo(f"{len(rows):,} shown of {total}" if counts else "nothing is in these states")


@app.command("retry")
def retry_posting(
    key: Key, reason: Annotated[str, typer.Option(help="Why it may work now, for whoever audits it.")]
) -> None:
    """Try a dead posting again: the next delivery looks it up, and sends it only if it is not in the ERP."""
    from meshline_dagster.delivery.by_hand import retry

    with opened_store() as store, store.write() as connection:
        row = retry(connection, key, actor=actor(), reason=reason, now=now())
    typer.echo(
        f"{row.external_id} is tried again: the next delivery looks it up in {row.destination}, and sends it only if it is not there. "
        "Its exception resolves itself when it is posted"
    )


@app.command("close")
def close_posting(
    key: Key,
    reason: Annotated[str, typer.Option(help="How you dealt with it, for whoever audits it.")],
    erp_id: Annotated[str | None, typer.Option(help="The document's id in the ERP, where the ledger has none.")] = None,
    not_in_erp: Annotated[
        bool,
        typer.Option(
            "--not-in-erp",
            help="The ERP has no such document: an order's next state creates one, and an invoice is planned anew.",
        ),
    ] = False,
) -> None:
    """Settle a dead posting by hand: it is never sent, and what waits behind it goes on. This cannot be taken back."""
    from meshline_dagster.delivery.by_hand import close

    if erp_id is not None and not_in_erp:
        raise typer.BadParameter("either --erp-id or --not-in-erp: the document is in the ERP, or it is not")
    with opened_store() as store, store.write() as connection:
        row = close(connection, key, actor=actor(), reason=reason, now=now(), erp_id=erp_id, absent=not_in_erp)
    typer.echo(f"{row.external_id} is closed and will not be sent; {_then(row.document_kind, absent=not_in_erp)}")


def _then(kind: str, *, absent: bool) -> str:
    """What becomes of a document that was closed."""
    if kind == "sales_order":
        return f"the order's next state {'creates a document' if absent else 'amends the document in the ERP'}"
    if not absent:
        return f"it counts as made in the ERP: no other {kind.replace('_', ' ')} takes its place"
    if kind == "payment":
        return "nothing takes its place"
    return "the next delivery plans it anew, with its own day's accounting date, if the order as the ERP holds it is still to be invoiced"


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    from meshline_dagster.core.money import to_text

    plain = {name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in row.items()}
    return {**plain, "amount": to_text(row["amount"])}


def _text(row: Mapping[str, Any]) -> str:
    from meshline_dagster.cli.money_text import amount_text

    money = f" {amount_text(row['amount'], row['currency'])}" if row["currency"] else ""
    made = "1 attempt" if row["attempts"] == 1 else f"{row['attempts']} attempts"
    due = "" if row["due_at"] is None else f", due {row['due_at']:%Y-%m-%d %H:%M:%S} UTC"
    lines = [f"{row['state']} [{row['destination']}] {row['external_id']} of {row['entity_key']}{money}, {made}{due}"]
    said = ": ".join(part for part in (row["outcome"], row["message"]) if part)
    lines += [f"    {said}"] if said else []
    lines += [f"    exception {row['exception']}"] if row["exception"] else []
    return "\n".join([*lines, f"    key {row['key']}"])
