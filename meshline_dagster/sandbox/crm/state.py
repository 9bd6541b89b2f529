"""What the sandbox CRM knows between requests: its records, clock, tokens, locators, limit and planned faults."""

import itertools
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from meshline_dagster.sandbox.crm.clock import SandboxClock
from meshline_dagster.sandbox.crm.ids import record_id
from meshline_dagster.sandbox.crm.objects import OBJECTS
from meshline_dagster.sandbox.crm.records import RecordTable, Version, instant_text, stamp_of
from meshline_dagster.sandbox.crm.world import World

__all__ = ["CrmSandbox", "Fault", "Locator", "SandboxSettings", "take_fault"]


@dataclass(slots=True)
class SandboxSettings:
    """How the sandbox behaves.

    Attributes:
        client_id, client_secret: what the token endpoint accepts.
        page_size: records in one page.
        token_lifetime: how long a token lives, by the sandbox's clock.
        locator_lifetime: how long a locator lives, by the sandbox's clock.
        locator_pages: how many pages a locator gives before it is dead; None for all.
        daily_requests: the API limit.
        deletes_kept: how far back the list of deletes goes.
        hidden_fields: ``Object.Field`` names that field-level security hides.
    """

    client_id: str = "sandbox-client"
    client_secret: str = "sandbox-secret"  # noqa: S105 - opens nothing but the sandbox
    page_size: int = 2000
    token_lifetime: timedelta = timedelta(hours=2)
    locator_lifetime: timedelta = timedelta(days=2)
    locator_pages: int | None = None
    daily_requests: int = 1_000_000
    deletes_kept: timedelta = timedelta(days=15)
    hidden_fields: frozenset[str] = frozenset()


@dataclass(slots=True)
class Locator:
    """The rest of a query's answer, kept for the next request."""

    rows: list[Version]
    object_name: str
    fields: list[str]
    created: datetime
    pages_given: int = 1


@dataclass(slots=True)
class Fault:
    """An answer that takes the place of the next ``times`` requests whose path contains ``path``."""

    path: str
    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    times: int = 1
    skip: int = 0


class CrmSandbox:
    """The state behind one application. Calls are serialised by its ``lock``."""

    def __init__(self, world: World, settings: SandboxSettings | None = None, *, running: bool = False) -> None:
        self.settings = settings or SandboxSettings()
        self.world = world
        self.clock = SandboxClock(world.now, running=running)
        self.tables = {name: RecordTable(list(world.versions.get(name, ()))) for name in OBJECTS}
        self.tokens: dict[str, datetime] = {}
        self.locators: dict[str, Locator] = {}
        self.faults: list[Fault] = []
        self.used_requests = 0
        self.requests: list[str] = []
        self.lock = threading.Lock()
        self._numbers = itertools.count(1)

    def table(self, object_name: str) -> RecordTable:
        """The object's records as of the clock."""
        table = self.tables[object_name]
        table.reveal(int(self.clock.now().timestamp() * 1000))
        return table

    def readable_fields(self, object_name: str) -> list[str]:
        """The fields that field-level security leaves visible."""
        names = OBJECTS[object_name].fields
        return [name for name in names if f"{object_name}.{name}" not in self.settings.hidden_fields]

    def next_name(self, kind: str) -> str:
        """A name that this sandbox has not given before."""
        return record_id(kind, f"{kind}-{next(self._numbers)}")

    def issue_token(self) -> str:
        """A new token, good for its lifetime."""
        token = f"00Dsandbox!{self.next_name('tok')}"
        self.tokens[token] = self.clock.now()
        return token

    def token_is_valid(self, token: str) -> bool:
        """Whether the token was given out and still lives."""
        issued = self.tokens.get(token)
        return issued is not None and self.clock.now() - issued < self.settings.token_lifetime

    def locator(self, name: str) -> Locator | None:
        """The locator, if it still lives."""
        found = self.locators.get(name)
        if found is None or self.clock.now() - found.created >= self.settings.locator_lifetime:
            return None
        limit = self.settings.locator_pages
        return None if limit is not None and found.pages_given >= limit else found

    def take_fault(self, path: str) -> Fault | None:
        """The fault that this request meets, if any; counts it down."""
        return take_fault(self.faults, path)

    def upsert(self, object_name: str, values: Mapping[str, Any]) -> Version:
        """Add a version now: over the current one if ``Id`` names one, else of a new record.

        Raises:
            KeyError: the object, or a field, does not exist; the argument names it.
        """
        definition = OBJECTS[object_name]
        unknown = values.keys() - definition.fields.keys()
        if unknown:
            raise KeyError(f"{object_name}.{min(unknown)}")
        table = self.table(object_name)
        stamp = stamp_of(self.clock.now())
        text = instant_text(stamp)
        one = values.get("Id") or self.next_name(definition.prefix)
        before = table.get(one)
        record = (
            dict(before.values)
            if before
            else dict.fromkeys(definition.fields) | {"IsDeleted": False, "CreatedDate": text}
        )
        record |= {name: Decimal(str(v)) if type(v) in {float, int} else v for name, v in values.items()}
        record |= {"Id": one, "LastModifiedDate": text, "SystemModstamp": text}
        version = Version(one, stamp, record)
        table.add(version)
        return version

    def delete(self, object_name: str, one: str, *, purge: bool = False) -> Version:
        """Put a record into the bin, or out of it for good.

        Raises:
            KeyError: there is no such object or record.
        """
        table = self.table(object_name)
        before = table.get(one)
        if before is None or before.purged:
            raise KeyError(one)
        stamp = stamp_of(self.clock.now())
        text = instant_text(stamp)
        record = dict(before.values) | {"IsDeleted": True, "LastModifiedDate": text, "SystemModstamp": text}
        version = Version(one, stamp, record, purged=purge)
        table.add(version)
        return version


def take_fault(faults: list[Fault], path: str) -> Fault | None:
    """The planned fault that a request meets, if any; counts it down, and forgets it when it is used up."""
    for fault in faults:
        if fault.path not in path:
            continue
        if fault.skip > 0:
            fault.skip -= 1
            continue
        fault.times -= 1
        if fault.times <= 0:
            faults.remove(fault)
        return fault
    return None
