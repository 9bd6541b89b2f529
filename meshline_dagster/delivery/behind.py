"""The exception of a dead posting says how many events wait behind it, and their money, as of the last plan or delivery."""

from sqlalchemy import Connection

from meshline_dagster.core.money import to_text
from meshline_dagster.delivery.findings import entity_trace_key
from meshline_dagster.store.engine import Store
from meshline_dagster.store.waiting import Behind, details_of, set_detail, waiting_behind

__all__ = ["changed_details", "tell_what_waits"]

_MARK = "\nBehind it "


def tell_what_waits(store: Store, destination: str) -> None:
    """Bring the sentence up to date where it is not. Costs one look into an index where nothing is dead."""
    with store.read() as connection:
        changed = changed_details(connection, destination)
    if changed:
        with store.write() as connection:
            for key, detail in changed_details(connection, destination).items():
                set_detail(connection, key, detail)


def changed_details(connection: Connection, destination: str) -> dict[str, str]:
    """Trace key -> the detail that an open exception should have and has not."""
    found = {
        entity_trace_key(destination, entity): one for entity, one in waiting_behind(connection, destination).items()
    }
    if not found:
        return {}
    current = details_of(connection, list(found))
    wanted = {key: detail.split(_MARK, maxsplit=1)[0] + _sentence(found[key]) for key, detail in current.items()}
    return {key: detail for key, detail in wanted.items() if detail != current[key]}


def _sentence(behind: Behind) -> str:
    if not behind.events:
        return ""
    money = ", ".join(f"{to_text(amount)} {currency}" for currency, amount in sorted(behind.amounts.items()))
    noun, verb = ("event", "waits") if behind.events == 1 else ("events", "wait")
    return f"{_MARK}{behind.events} {noun} {verb}, worth {money or 'nothing'}."
