"""From settings to things that talk: feeds and the ERP writer. Secrets are read here, inside the run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

from pydantic import SecretStr

from meshline_dagster.core.errors import ConfigError
from meshline_dagster.crm.filedrop import FileDropFeed
from meshline_dagster.crm.hubspot import HubSpotFeed
from meshline_dagster.crm.hubspot_archived import HubSpotArchivedFeed
from meshline_dagster.crm.hubspot_session import HubSpotSession
from meshline_dagster.crm.protocol import Feed
from meshline_dagster.crm.salesforce import SalesforceFeed
from meshline_dagster.crm.salesforce_deletes import SalesforceDeletesFeed
from meshline_dagster.crm.salesforce_objects import ADDRESS_FIELDS, DEFAULT_FIELDS, ITEM_FIELDS, snake_case
from meshline_dagster.crm.salesforce_session import SalesforceSession
from meshline_dagster.erp.protocol import ErpWriter
from meshline_dagster.erp.rest import RestErpWriter
from meshline_dagster.orchestration.configured_settings import ConfiguredDestination
from meshline_dagster.orchestration.hubspot_settings import HubSpotSource
from meshline_dagster.orchestration.references import resolve
from meshline_dagster.orchestration.settings import (
    FileDropSource,
    RestDestination,
    SalesforceSource,
    SyncSettings,
)
from meshline_dagster.warehouse.sources import LANDING_COLUMNS

__all__ = ["FeedSpec", "connect_writer", "feed_specs"]


@dataclass(frozen=True, slots=True)
class FeedSpec:
    """A feed that a sync declares.

    Attributes:
        name: ``<instance>/<object>``.
        instance: the CRM instance, the source's name in every id.
        kind: the source system's name.
        view: the landing view that the models read it through; None: it is landed and no model reads it.
        connect: makes the feed; reads secrets from the environment.
    """

    name: str
    instance: str
    kind: str
    object_name: str
    view: str | None
    connect: Callable[[], Feed]


def feed_specs(settings: SyncSettings) -> list[FeedSpec]:
    """Every feed of a sync, parents before children."""
    more: dict[str, tuple[str, ...]] = {
        "Account": ADDRESS_FIELDS if settings.policy.missing_address else (),
        "Product2": ITEM_FIELDS if settings.policy.missing_item else (),
    }
    return [spec for source in settings.sources for spec in _specs(source, more, settings.origin_instant)]


def connect_writer(settings: SyncSettings) -> ErpWriter:
    """The writer of the sync's destination.

    Raises:
        ConfigError: an environment variable is missing, or a company id is no number where the ERP needs one.
    """
    to = settings.destination
    if isinstance(to, ConfiguredDestination):
        return to.writer()
    if isinstance(to, RestDestination):
        return RestErpWriter(resolve(to.base_url), SecretStr(resolve(to.token)), name=to.name, profile=to.profile)
    from meshline_dagster.erp.tryton import NewItems, TrytonWriter  # noqa: PLC0415 - only for those who post to Tryton

    return TrytonWriter(
        resolve(to.base_url),
        resolve(to.database),
        resolve(to.user),
        SecretStr(resolve(to.password)),
        name=to.name,
        company=to.company,
        invoices=settings.policy.billing is not None,
        batch_size=to.batch_size,
        request_timeout=to.request_timeout_seconds,
        settle_after=timedelta(seconds=to.settle_after_seconds),
        new_items=NewItems(to.item_category, to.item_type),
        payment_method=to.payment_method,
    )


def _specs(
    source: SalesforceSource | HubSpotSource | FileDropSource, more: Mapping[str, tuple[str, ...]], origin: datetime
) -> list[FeedSpec]:
    if isinstance(source, FileDropSource):
        return [_file_drop(source, name) for name in source.objects]
    if isinstance(source, HubSpotSource):
        return _hubspot(source, origin)
    session = _SharedSession(source)
    return [_salesforce(source, session, name, more.get(name, ())) for name in source.objects] + [
        _deletes(source, session, name) for name in source.deletes
    ]


class _SharedSession:
    """One session for all feeds of an org in this process: one token, one connection pool."""

    def __init__(self, source: SalesforceSource) -> None:
        self._source = source
        self._session: SalesforceSession | None = None

    def __call__(self) -> SalesforceSession:
        """The session; the first call reads the secrets."""
        if self._session is None:
            self._session = SalesforceSession(
                base_url=resolve(self._source.base_url),
                client_id=SecretStr(resolve(self._source.client_id)),
                client_secret=SecretStr(resolve(self._source.client_secret)),
                api_version=self._source.api_version,
            )
        return self._session


def _salesforce(source: SalesforceSource, session: _SharedSession, name: str, more: tuple[str, ...]) -> FeedSpec:
    fields = (*DEFAULT_FIELDS[name], *more) if more else None
    return FeedSpec(
        name=f"{source.instance}/{snake_case(name)}",
        instance=source.instance,
        kind="salesforce",
        object_name=name,
        view=f"salesforce__{snake_case(name)}",
        connect=lambda: SalesforceFeed(session(), name, instance=source.instance, fields=fields),
    )


def _deletes(source: SalesforceSource, session: _SharedSession, name: str) -> FeedSpec:
    return FeedSpec(
        name=f"{source.instance}/{snake_case(name)}_deletes",
        instance=source.instance,
        kind="salesforce",
        object_name=name,
        view=f"salesforce__{snake_case(name)}_deletes",
        connect=lambda: SalesforceDeletesFeed(session(), name, instance=source.instance, accept_gaps=True),
    )


def _hubspot(source: HubSpotSource, origin: datetime) -> list[FeedSpec]:
    """All objects, then what was archived of them. One session for all: one connection pool, one pace."""

    @cache
    def session() -> HubSpotSession:
        return HubSpotSession(token=SecretStr(resolve(source.token)), base_url=resolve(source.base_url))

    def spec(name: str, suffix: str, connect: Callable[[], Feed]) -> FeedSpec:
        feed, view = f"{source.instance}/{name}{suffix}", f"hubspot__{name}{suffix}"
        return FeedSpec(feed, source.instance, "hubspot", name, view, connect)

    def changes(name: str) -> Callable[[], Feed]:
        return lambda: HubSpotFeed(session(), name, instance=source.instance, begins=origin)

    def archived(name: str) -> Callable[[], Feed]:
        return lambda: HubSpotArchivedFeed(session(), name, instance=source.instance)

    return [spec(name, "", changes(name)) for name in source.objects] + [
        spec(name, "_archived", archived(name)) for name in source.objects
    ]


def _file_drop(source: FileDropSource, name: str) -> FeedSpec:
    drop = source.objects[name]

    def connect() -> Feed:
        folder = f"{resolve(source.url).rstrip('/')}/{name}"
        return FileDropFeed(folder, name, drop.layout(), instance=source.instance)

    if drop.view is not None and drop.view not in LANDING_COLUMNS:
        raise ConfigError(
            f"object {name} of {source.instance} names the view {drop.view}, which no model reads; there are "
            f"{', '.join(sorted(LANDING_COLUMNS))}"
        )
    return FeedSpec(f"{source.instance}/{name}", source.instance, "file_drop", name, drop.view, connect)
