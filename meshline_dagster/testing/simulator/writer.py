"""The writer for the simulated ERP: an :class:`~meshline_dagster.erp.protocol.ErpWriter` like any other.

An ERP with two steps drafts an order, an invoice or a credit note first and confirms it with a second call, so that a document can be left
half-way.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from meshline_dagster.core.documents import (
    ACCOUNTING_KINDS,
    BOOKED_KINDS,
    MASTER_KINDS,
    REVERSE,
    Answer,
    Document,
    DocumentKind,
    ErpDocument,
    ErpLine,
    Outcome,
    standing,
)
from meshline_dagster.core.errors import TransientError
from meshline_dagster.core.settle import difference
from meshline_dagster.erp.protocol import Capabilities
from meshline_dagster.testing.oracle.records import Held
from meshline_dagster.testing.simulator.network import Failure, Network, Timing
from meshline_dagster.testing.simulator.process import Process
from meshline_dagster.testing.simulator.server import SERVICES, Profile, Reply, Request, Status

__all__ = ["SimulatedWriter", "shown"]

_OPERATIONS = frozenset(
    (kind, operation)
    for kind in (*MASTER_KINDS, DocumentKind.SALES_ORDER, *BOOKED_KINDS)
    for operation in ("create", "amend", "cancel")
    if operation == "create" or kind not in BOOKED_KINDS
) | {(DocumentKind.SALES_ORDER, REVERSE)}
_CONNECT_SECONDS = 0.01
_DONE = {Status.CREATED: Outcome.CREATED, Status.UPDATED: Outcome.UPDATED, Status.UNCHANGED: Outcome.EXISTS}


class SimulatedWriter:
    """Posts and looks up for one process.

    Args:
        epoch: the instant of virtual second zero on the ERP's own clock.
        two_steps: orders and accounting documents are drafted, then confirmed.
        slots: how many requests the ERP takes at once.
    """

    def __init__(
        self,
        process: Process,
        network: Network,
        profile: Profile,
        timing: Timing,
        *,
        epoch: datetime,
        two_steps: bool,
        slots: int,
    ) -> None:
        self._process, self._network, self._epoch, self._two_steps = process, network, epoch, two_steps
        self._capabilities = Capabilities(
            native_idempotency=profile is Profile.IDEMPOTENT,
            unique_external_id=profile is Profile.UNIQUE,
            batch_size=1,
            max_in_flight=slots,
            settle_after=timedelta(seconds=timing.settle_after),
            request_timeout=timing.timeout,
            operations=_OPERATIONS,
            tells_deliveries=True,
        )

    @property
    def name(self) -> str:
        """The destination's name."""
        return "simulated"

    @property
    def capabilities(self) -> Capabilities:
        """What it declares."""
        return self._capabilities

    async def open(self) -> None:
        """Connect."""
        self._process.check()
        await asyncio.sleep(_CONNECT_SECONDS)

    async def aclose(self) -> None:
        """Give the connection back."""
        self._process.check()
        await asyncio.sleep(_CONNECT_SECONDS)

    async def company(self) -> str:
        """The only company; asking it takes an answer like everything else."""
        await self.find(DocumentKind.CUSTOMER, [])
        return "1"

    async def post(self, documents: Sequence[Document]) -> list[Answer]:
        """Bring each document about."""
        return [await self._post(document) for document in documents]

    async def find(self, kind: DocumentKind, external_ids: Sequence[str]) -> Mapping[str, list[ErpDocument]]:
        """Look up by external id."""
        request = Request("find", kind, tuple(external_ids), self._now(), self._process.name)
        reply = await self._ask(request)
        if isinstance(reply, Failure):
            raise TransientError(f"the look-up got no answer: {reply.message}")
        return {key: [self._shown(held) for held in found] for key, found in (reply.found or {}).items()}

    async def show(self, kind: DocumentKind, erp_ids: Sequence[str]) -> Mapping[str, ErpDocument]:
        """Look up by the ERP's own ids."""
        reply = await self._ask(Request("show", kind, tuple(erp_ids), self._now(), self._process.name))
        if isinstance(reply, Failure):
            raise TransientError(f"the look-up got no answer: {reply.message}")
        return {key: self._shown(held) for key, (held,) in (reply.found or {}).items()}

    async def read(self, kind: DocumentKind, since: datetime | None) -> AsyncIterator[list[ErpDocument]]:
        """Everything changed since, oldest first."""
        found = [self._shown(held) for held in self._network.erp.records.documents if held.kind is kind]
        page = sorted((one for one in found if since is None or one.stamp >= since), key=lambda one: one.stamp)
        if page:
            yield page

    async def _post(self, document: Document) -> Answer:
        if document.kind in ACCOUNTING_KINDS:
            self._network.belongs[document.external_id] = document.payload["order"]
        if document.operation == REVERSE:
            return await self._call(document, "reverse")
        if document.operation != "create":
            return await self._call(document, "replace")
        if not self._two_steps or document.kind in MASTER_KINDS:
            return await self._call(document, "create")
        return await self._post_in_two_steps(document)

    async def _post_in_two_steps(self, document: Document) -> Answer:
        try:
            found = (await self.find(document.kind, [document.external_id])).get(document.external_id, [])
        except TransientError as error:  # only a look-up was sent: the ERP surely did nothing
            return Answer(Outcome.RETRY, message=str(error))
        found = list(standing(found))
        if found and found[0].status != "partial":
            return _existing(document, found[0])
        drafted = await self._call(document, "replace" if found else "draft")
        if drafted.outcome not in _DONE.values():
            return drafted
        confirmed = await self._call(document, "confirm")
        if confirmed.outcome is Outcome.RETRY:  # the draft is there: that is not nothing
            return Answer(Outcome.UNKNOWN, message=confirmed.message)
        return confirmed

    async def _call(self, document: Document, action: str) -> Answer:
        payload = None if action == "confirm" else document.payload
        key = f"{document.key}:{action}"
        request = Request(
            action,
            document.kind,
            (document.external_id,),
            self._now(),
            self._process.name,
            key,
            document.event_id,
            payload,
            erp_id=document.erp_id,
        )
        return self._answer(document, await self._ask(request))

    async def _ask(self, request: Request) -> Reply | Failure:
        self._process.check()
        return await self._network.send(request)

    def _answer(self, document: Document, reply: Reply | Failure) -> Answer:
        if isinstance(reply, Failure):
            outcome = Outcome.UNKNOWN if reply.sent else Outcome.RETRY
            return Answer(outcome, message=reply.message, retry_after=reply.retry_after)
        if reply.status is Status.REFUSED:
            return Answer(Outcome.REJECTED, message=reply.message, field=reply.field)
        if reply.status is Status.TAKEN:
            return _existing(document, self._shown((reply.found or {})[document.external_id][0]))
        return Answer(_DONE[reply.status], erp_id=reply.erp_id)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _shown(self, held: Held) -> ErpDocument:
        return shown(held, self._epoch)


def shown(held: Held, epoch: datetime) -> ErpDocument:
    """A document as the ERP shows it to whoever asks.

    Args:
        epoch: the instant of virtual second zero on the ERP's own clock.
    """
    content = held.content
    return ErpDocument(
        kind=held.kind,
        erp_id=held.erp_id,
        external_id=held.external_id,
        number=held.erp_id.upper(),
        status="partial" if held.draft else content.status,
        stamp=epoch + timedelta(seconds=held.stamp),
        event_id=held.event_id or None,
        customer=content.customer,
        currency=content.currency,
        amount=content.amount,
        lines=tuple(_lines(held)),
        document_date=None if held.bill is None else held.bill.dated,
        reverses=None if held.bill is None else held.bill.invoice,
        pays=content.pays,
        order=None if held.bill is None else held.bill.order,
    )


def _lines(held: Held) -> Iterator[ErpLine]:
    """What is delivered of a price goes to its lines one after the other; of services nothing is said, nor of anything before a delivery."""
    left = dict(held.delivered or {})
    for sku, quantity, price, amount in held.content.lines:
        if held.delivered is None or sku in SERVICES:
            yield ErpLine(sku, quantity, price, amount)
            continue
        delivered = min(quantity, left.get((sku, price), Decimal(0)))
        left[sku, price] = left.get((sku, price), Decimal(0)) - delivered
        yield ErpLine(sku, quantity, price, amount, delivered)


def _existing(document: Document, there: ErpDocument) -> Answer:
    """The external id is taken: by the same content, or by another that a person has to look at."""
    field = difference(document.kind, document.payload, there)
    if field is None:
        return Answer(Outcome.EXISTS, erp_id=there.erp_id)
    return Answer(Outcome.EXISTS_DIFFERENT, erp_id=there.erp_id, message="this external id is taken", field=field)
