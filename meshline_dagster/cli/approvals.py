"""``meshline approvals``: writes that wait until somebody says yes."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meshline_dagster.cli.stores import actor, now, opened_store

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from meshline_dagster.store.approvals import Approval

__all__ = ["app"]

app = typer.Typer(help="Writes that wait until somebody approves them.", no_args_is_help=True)

Digests = Annotated[
    list[str], typer.Argument(metavar="DIGEST...", help="Digests, or their first eight digits or more.")
]
Reason = Annotated[str, typer.Option(help="Why, for whoever audits it.")]


@app.command("list")
def list_approvals(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Also what is decided.")] = False,
) -> None:
    """What waits, who asked, and what it changes in money; oldest first."""
    from meshline_dagster.store.approvals import approvals

    with opened_store() as store, store.read() as connection:
        rows = [_row(connection, one) for one in approvals(connection, only_open=not everything)]
    for row in rows:
        typer.echo(json.dumps(row) if as_json else _text(row))
    if not rows and not as_json:
        typer.echo("nothing waits for approval")


@app.command()
def approve(digests: Digests, reason: Reason) -> None:
    """Let the writes go with the next run. Whoever asked for them cannot approve them."""
    from meshline_dagster.governance.decisions import approve as let_go
    from meshline_dagster.governance.decisions import named

    who = actor()
    with opened_store() as store, store.write() as connection:
        asked = [named(connection, one) for one in digests]
        count = sum(let_go(connection, one, actor=who, reason=reason, now=now()) for one in asked)
    typer.echo(f"approved: {_counted(count)} with the next run (recorded as {who})")


@app.command()
def reject(digests: Digests, reason: Reason) -> None:
    """Take the writes back. A new replay may ask again; a restatement is asked for again only with another content."""
    from meshline_dagster.governance.decisions import named
    from meshline_dagster.governance.decisions import reject as take_back

    who = actor()
    with opened_store() as store, store.write() as connection:
        asked = [named(connection, one) for one in digests]
        count = sum(take_back(connection, one, actor=who, reason=reason, now=now()) for one in asked)
    typer.echo(f"rejected: {count:,} {'write is' if count == 1 else 'writes are'} taken back (recorded as {who})")


def _counted(count: int) -> str:
    return "1 write goes" if count == 1 else f"{count:,} writes go"


def _row(connection: "Connection", one: "Approval") -> dict[str, Any]:
    from meshline_dagster.core.approvals import ApprovalKind, totals
    from meshline_dagster.delivery.approvals import standing_amounts, writes_of
    from meshline_dagster.store.approvals import waiting
    from meshline_dagster.store.postings import last_posted

    rows = waiting(connection, one)
    is_of_orders = (
        one.kind is not ApprovalKind.REDATED
    )  # else it is beside what stands there, and changes nothing of that
    before = last_posted(connection, one.destination, [row.entity_key for row in rows if is_of_orders])
    money = totals(writes_of(rows), standing_amounts(before))
    return {
        **{name: getattr(one, name) for name in ("digest", "destination", "kind", "role", "subject", "requested_by")},
        "requested_at": one.requested_at.isoformat(),
        "writes": len(rows),
        "money": {currency: total.as_json() for currency, total in sorted(money.items())},
        **{name: getattr(one, name) for name in ("decision", "decided_by", "reason")},
        "decided_at": None if one.decided_at is None else one.decided_at.isoformat(),
    }


def _text(row: dict[str, Any]) -> str:
    from meshline_dagster.cli.money_text import change_text

    money = change_text(row["money"])
    state = f"waits for {row['role']}" if row["decision"] is None else f"{row['decision']} by {row['decided_by']}"
    lines = [
        f"{row['digest']}  {row['kind']}  {row['destination']}  {state}",
        f"    {row['subject']}; asked for by {row['requested_by']} at {row['requested_at'][:16]}",
        f"    {row['writes']:,} writes to be sent{f': {money}' if money else ''}",
    ]
    return "\n".join(lines)
