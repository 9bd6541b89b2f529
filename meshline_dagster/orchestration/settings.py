"""What a sync is made of: the settings behind the component's YAML.

Any text may be ``env:NAME``: it is read from the environment when it is used, so that a code location loads without secrets and
no secret ever stands in a file.
"""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from meshline_dagster.core.backlog import BacklogLimits
from meshline_dagster.core.documents import ACCOUNTING_KINDS, DocumentKind
from meshline_dagster.core.errors import GateError
from meshline_dagster.core.followups import BillingPolicy
from meshline_dagster.core.invoice_schedule import BilledIn
from meshline_dagster.core.pauses import Freeze
from meshline_dagster.core.reversals import ReversalLimits
from meshline_dagster.crm.compaction import KEEP, MOST_FILES
from meshline_dagster.crm.filedrop_layout import FileColumn, FileFormat, FileLayout
from meshline_dagster.crm.protocol import FieldType
from meshline_dagster.delivery.masters import check_masters
from meshline_dagster.delivery.options import DeliveryOptions, MissingMaster, Mode
from meshline_dagster.erp.rest import OPERATIONS as REST_OPERATIONS
from meshline_dagster.orchestration.configured_settings import ConfiguredDestination
from meshline_dagster.orchestration.document_settings import DocumentSettings
from meshline_dagster.orchestration.hold_settings import (
    ApprovalSettings,
    BacklogSettings,
    FreezeSettings,
    LimitSettings,
)
from meshline_dagster.orchestration.hubspot_settings import HubSpotSource
from meshline_dagster.orchestration.ownership_settings import OwnershipSettings
from meshline_dagster.orchestration.references import SecretReference
from meshline_dagster.warehouse.records import BillingTerms, Policy

__all__ = [
    "CheckSettings",
    "CompactionSettings",
    "FileDropColumn",
    "FileDropObject",
    "FileDropSource",
    "PolicySettings",
    "RestDestination",
    "SalesforceSource",
    "SyncSettings",
    "TrytonDestination",
]


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError("this is no time zone of the IANA database: write e.g. Europe/Zurich, or UTC") from error
    return name


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class SalesforceSource(_Settings):
    """A Salesforce org, polled over REST."""

    type: Literal["salesforce"] = "salesforce"
    instance: str = Field("salesforce", pattern=r"^[a-z][a-z0-9_]*$", description="Names folders, assets and leases.")
    base_url: str = "env:MESHLINE_CRM_URL"
    client_id: str = "env:MESHLINE_CRM_CLIENT_ID"
    client_secret: SecretReference = "env:MESHLINE_CRM_CLIENT_SECRET"  # noqa: S105 - names the variable
    api_version: str = "60.0"
    objects: tuple[str, ...] = ("Account", "Product2", "Opportunity", "OpportunityLineItem")
    deletes: tuple[str, ...] = ()


class FileDropColumn(_Settings):
    """One column: its type, and what the files call it where that is another name."""

    type: FieldType
    header: str | None = None


class FileDropObject(_Settings):
    """How the files of one object are read; see :class:`~meshline_dagster.crm.filedrop_layout.FileLayout`.

    Attributes:
        preset: ``sap`` is CSV as SAP downloads it: semicolons, decimal comma, dots between thousands, ``31.12.2026``, ``X`` or nothing
            for a flag.
        view: the landing view whose columns these are, e.g. ``salesforce__opportunity``; without it no model reads them.
    """

    format: FileFormat = FileFormat.CSV
    preset: Literal["plain", "sap"] = "plain"
    columns: dict[str, FileDropColumn]
    id: str
    stamp: str | None = None
    deleted: str | None = None
    pattern: str
    delimiter: str = ","
    encoding: str = "utf-8"
    decimal: str = "."
    time_zone: str = "UTC"
    view: str | None = None

    def layout(self) -> FileLayout:
        """The layout for the feed."""
        columns = tuple(FileColumn(name, one.type, one.header) for name, one in self.columns.items())
        keys = {"id": self.id, "stamp": self.stamp, "deleted": self.deleted, "pattern": self.pattern}
        zone = ZoneInfo(self.time_zone)
        if self.preset == "sap":
            return FileLayout.sap(columns, **keys, time_zone=zone)  # type: ignore[arg-type]
        return FileLayout(
            format=self.format,
            columns=columns,
            delimiter=self.delimiter,
            encoding=self.encoding,
            decimal=self.decimal,
            time_zone=zone,
            **keys,  # type: ignore[arg-type]
        )


class FileDropSource(_Settings):
    """A folder of files, one sub-folder for each object, whose columns are declared."""

    type: Literal["file_drop"] = "file_drop"
    instance: str = Field("filedrop", pattern=r"^[a-z][a-z0-9_]*$")
    url: str = "env:MESHLINE_DROP_URL"
    objects: dict[str, FileDropObject]


class RestDestination(_Settings):
    """The sandbox ERP's REST interface."""

    type: Literal["rest"] = "rest"
    name: str = Field("sandbox", pattern=r"^[a-z][a-z0-9_]*$")
    base_url: str = "env:MESHLINE_ERP_URL"
    token: SecretReference = "env:MESHLINE_ERP_TOKEN"  # noqa: S105 - names the variable
    company: str = "1"
    profile: Literal["idempotent", "unique", "lookup_only"] = "idempotent"
    sandbox: bool = False

    @property
    def operations(self) -> frozenset[tuple[DocumentKind, str]]:
        """What its writer declares."""
        return REST_OPERATIONS


class TrytonDestination(_Settings):
    """A Tryton 8.2 company, over JSON-RPC.

    Attributes:
        batch_size: documents in one transaction.
        request_timeout_seconds: how long a batch may take until its outcome is unknown.
        settle_after_seconds: how long after that Tryton may still commit it; longer than ``[request] timeout`` in its configuration.
        item_category: the account category of items that are made; left out, the only one that Tryton has.
        item_type: whether they are shipped.
        payment_method: whose journal and account payments go to; left out, the only one that Tryton has.
    """

    type: Literal["tryton"] = "tryton"
    name: str = Field("tryton", pattern=r"^[a-z][a-z0-9_]*$")
    base_url: str = "env:MESHLINE_TRYTON_URL"
    database: str = "env:MESHLINE_TRYTON_DATABASE"
    user: str = "env:MESHLINE_TRYTON_USER"
    password: SecretReference = "env:MESHLINE_TRYTON_PASSWORD"  # noqa: S105 - names the variable
    company: str = "1"
    sandbox: bool = False
    batch_size: int = Field(100, ge=1)
    request_timeout_seconds: float = Field(120.0, gt=0)
    settle_after_seconds: float = Field(180.0, ge=0)
    item_category: str | None = None
    item_type: Literal["goods", "service"] = "goods"
    payment_method: str | None = None

    @property
    def operations(self) -> frozenset[tuple[DocumentKind, str]]:
        """What its writer declares, invoices apart."""
        from meshline_dagster.erp.tryton import OPERATIONS  # noqa: PLC0415 - only for those who post to Tryton

        return OPERATIONS


class PolicySettings(DocumentSettings):
    """What the rules may assume, and which documents follow from an order. Durations are hours.

    Attributes:
        coalesce: send only the newest of an order's states that were never sent.
        missing_customer: ``create`` makes a customer that the ERP lacks; ``exception`` only looks for it, and asks a person.
        missing_address: the same for the billing and shipping address of an account, which orders then name; left out, orders name none.
        missing_item: the same for an item, which goes by its sku and is looked for in any case; left out, orders wait for no item, and
            what the ERP does not know it refuses.
    """

    lines_limit_hours: float = Field(4.0, gt=0)
    customer_limit_hours: float = Field(4.0, gt=0)
    default_currency: str | None = None
    tax_code: str = "standard"
    selling_entity: str = "main"
    missing_customer: MissingMaster = MissingMaster.CREATE
    missing_address: MissingMaster | None = None
    missing_item: MissingMaster | None = None
    coalesce: bool = False


class CheckSettings(_Settings):
    """Thresholds of the reconciliation checks, as ratios."""

    max_drift: float = Field(0.001, ge=0)
    min_parity: float = Field(0.995, ge=0, le=1)


class CompactionSettings(_Settings):
    """When closed days of the landing zone become one file each.

    Attributes:
        max_files: files that one run reads; the rest is done by the next ones.
        keep_hours: how long replaced files stay for builds that have listed them; longer than any build takes.
    """

    cron: str = "30 2 * * *"
    max_files: int = Field(MOST_FILES, ge=2)
    keep_hours: float = Field(KEEP.total_seconds() / 3600, ge=1)

    @property
    def keep(self) -> timedelta:
        """The hours as a duration."""
        return timedelta(hours=self.keep_hours)


class SyncSettings(_Settings):
    """One sync: CRM instances to one ERP company.

    Attributes:
        origin: the first change day; also the first partition. A change before it is an exception.
        mode: ``shadow`` plans and compares without posting; ``live`` posts.
        effective_from: deals booked before this day are pre-cutover. Required for live outside a sandbox.
        limits: how fast requests may follow, and what an outage is.
        ownership: whose word each field of an order, a line or a customer is.
        backlog: how much may be posted without a release.
        approvals: what waits until somebody approves it.
        freezes: the close calendar: when nothing is posted.
        time_zone: where the books are kept (IANA): invoices and credit notes are dated by its days, orders invoiced from the beginning of
            theirs, and periods closed by them. Freezes are in UTC.
        poll_seconds: how often the sensor asks the CRM.
    """

    name: str = Field("crm_to_erp", pattern=r"^[a-z][a-z0-9_]*$")
    sources: tuple[Annotated[SalesforceSource | HubSpotSource | FileDropSource, Field(discriminator="type")], ...]
    destination: Annotated[RestDestination | TrytonDestination | ConfiguredDestination, Field(discriminator="type")]
    mode: Mode = Mode.SHADOW
    origin: date
    effective_from: date | None = None
    time_zone: Annotated[str, AfterValidator(_known_zone)] = "UTC"
    poll_seconds: int = Field(30, ge=5)
    overlap_minutes: float = Field(10.0, ge=0)
    lag_seconds: float = Field(3.0, ge=0)
    check_cron: str = "0 6 * * *"
    policy: PolicySettings = PolicySettings()
    checks: CheckSettings = CheckSettings()
    compaction: CompactionSettings = CompactionSettings()
    freezes: tuple[FreezeSettings, ...] = ()
    backlog: BacklogSettings = BacklogSettings()
    approvals: ApprovalSettings = ApprovalSettings()
    limits: LimitSettings = LimitSettings()
    ownership: OwnershipSettings = OwnershipSettings()

    @model_validator(mode="after")
    def _can_be_invoiced(self) -> Self:
        policy = self.policy
        if policy.billing is not None and policy.invoices_from is None and not self.destination.sandbox:
            raise ValueError(
                "policy.documents: order_and_invoice outside a sandbox needs policy.invoices_from: the booking day from which orders "
                "are invoiced here, so that none is that was invoiced elsewhere"
            )
        return self

    @model_validator(mode="after")
    def _redates_something(self) -> Self:
        if self.approvals.redated and self.policy.billing is None:
            raise ValueError("approvals.redated: nothing reads this while policy.documents is order_only")
        return self

    @model_validator(mode="after")
    def _erp_can_invoice(self) -> Self:
        to = self.destination
        if self.policy.billing is None or not isinstance(to, ConfiguredDestination):
            return self
        missing = sorted(kind.value for kind in ACCOUNTING_KINDS - to.api.documents.keys())
        if missing:
            raise ValueError(
                f"policy.documents: order_and_invoice needs destination.api.documents to declare {' and '.join(missing)}; describe how "
                "the ERP makes them, or use order_only and let the ERP invoice"
            )
        return self

    @model_validator(mode="after")
    def _erp_keeps_masters(self) -> Self:
        try:
            check_masters(self.delivery(), self.destination.operations)
        except GateError as error:
            raise ValueError(str(error)) from error
        return self

    @property
    def origin_instant(self) -> datetime:
        """The origin's midnight, UTC."""
        return datetime.combine(self.origin, datetime.min.time(), tzinfo=UTC)

    @property
    def overlap(self) -> timedelta:
        """How far behind the watermark a poll reads again."""
        return timedelta(minutes=self.overlap_minutes)

    @property
    def lag(self) -> timedelta:
        """How much of the present a poll leaves out."""
        return timedelta(seconds=self.lag_seconds)

    @property
    def billing(self) -> BillingPolicy | None:
        """How orders are invoiced; None when orders only are posted."""
        policy = self.policy.billing
        if policy is None or self.time_zone == "UTC":
            return policy
        return replace(policy, zone=ZoneInfo(self.time_zone))

    def billing_terms(self, now: datetime) -> BillingTerms:
        """What the comparison with the ERP has to know of invoices at an instant."""
        billing = self.billing
        if billing is None:
            return BillingTerms(now.astimezone(ZoneInfo(self.time_zone)).date())
        terms = BillingTerms(billing.day(now), billing.trigger.value, billing.since)
        periods = billing.schedule
        if periods is None:
            return terms
        return replace(terms, months=periods.every.months, in_arrears=periods.billed_in is BilledIn.ARREARS)

    def policy_of_rules(self) -> Policy:
        """What the models may assume."""
        return Policy(
            effective_from=self.effective_from,
            lines_limit=timedelta(hours=self.policy.lines_limit_hours),
            customer_limit=timedelta(hours=self.policy.customer_limit_hours),
            default_currency=self.policy.default_currency,
            tax_code=self.policy.tax_code,
            selling_entity=self.policy.selling_entity,
            items=self.policy.missing_item is not None,
            addresses=self.policy.missing_address is not None,
        )

    def delivery(self) -> DeliveryOptions:
        """The options of the delivery engine."""
        return DeliveryOptions(
            destination=self.destination.name,
            company=self.destination.company,
            mode=self.mode,
            sandbox=self.destination.sandbox,
            effective_from=self.effective_from,
            missing_customer=self.policy.missing_customer,
            missing_address=self.policy.missing_address,
            missing_item=self.policy.missing_item,
            coalesce=self.policy.coalesce,
            billing=self.billing,
            ownership=self.ownership.owners,
            redated=self.approvals.redated,
            partial=self.policy.partial,
            failures=self.limits.failures,
            rate_per_second=self.limits.rate_per_second,
            burst=self.limits.burst,
            backlog=BacklogLimits(self.backlog.count, self.backlog.amounts),
            approve_replays=self.approvals.replays,
            reversals=ReversalLimits(self.approvals.max_reversals, self.approvals.max_reversal_share),
            freezes=tuple(Freeze(one.start, one.end, one.selling_entity, one.reason) for one in self.freezes),
        )
