"""What every event has: the attributes of CloudEvents 1.0, and ours beside them."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from meshline_dagster.core.events.fields import Count, EntityKey, Instant, Owner, Sha256, Text, meaning

__all__ = ["TYPE", "VERSION", "Event", "Record"]

TYPE = meaning("What happened. A label: an earlier version that surfaces late may change it.", owner="revops")
VERSION = meaning("Version of the contract of this type of event.", owner="integrations")


class Record(BaseModel):
    """A closed set of fields: what is not listed is refused, since it would be a misspelt name more often than news."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Event(Record):
    """One row of the canonical events; in JSON an object of the same fields, where one that is optional may be null or left out.

    A type and version of an event is a subclass whose ``type`` and ``contract_version`` are literals of one value. It describes
    the newest version of its type when no other has a higher one. Its docstring says what happened when such an event is there.
    """

    owner: ClassVar[Owner] = "revops"
    """Who answers for the contract as a whole."""

    id: Annotated[
        Sha256,
        meaning(
            "SHA-256 over source, entity, document kind, stamp and digest. Never changes.",
            owner="integrations",
            example="09581aaf4e4f44448f2ef445c0f80b72bd4945c4460f10bb249c8a25432b6861",
            unique=True,
        ),
    ]
    source: Annotated[Text, meaning("The CRM instance (CloudEvents).", owner="integrations", example="salesforce")]
    type: Annotated[Text, TYPE]
    subject: Annotated[
        Text | None,
        meaning("The deal that speaks for the order (CloudEvents).", owner="revops", example="006Qz000001LmAqIAK"),
    ] = None
    time: Annotated[
        Instant,
        meaning(
            "When the change was made in the CRM (CloudEvents).", owner="integrations", example="2026-03-02T09:00:00Z"
        ),
    ]
    specversion: Annotated[Literal["1.0"], meaning("Version of CloudEvents.", owner="integrations")]
    datacontenttype: Annotated[
        Literal["application/json"], meaning("Media type of the data (CloudEvents).", owner="integrations")
    ]
    entity_key: Annotated[
        EntityKey,
        meaning(
            "What the event is about, and the unit of sequence: `<source>/<object>/<id>`; of an order its root deal.",
            owner="integrations",
            example="salesforce/opportunity/006Qz000001LmAqIAK",
        ),
    ]
    document_kind: Annotated[
        Text, meaning("The kind of ERP document that the entity becomes.", owner="finance", example="sales_order")
    ]
    position: Annotated[
        Count,
        meaning("1 for the entity's first event, in the order of time. A label.", owner="integrations", example=1),
    ]
    contract_version: Annotated[Text, VERSION]
    digest: Annotated[
        Sha256,
        meaning(
            "SHA-256 over the source's business fields of this state, before any mapping or enrichment.",
            owner="integrations",
            example="7d865e959b2466918c9863afca942d0fb89d7c9ac0c99bafc3749504ded97730",
        ),
    ]

    @classmethod
    def from_previous(cls, older: Mapping[str, Any]) -> Mapping[str, Any]:
        """This version's fields from those of the version before, in JSON notation; the version itself is set by the caller.

        A minor version only adds what is optional, so that nothing is to be done. A major one overrides this: pure, and total for
        what the version before accepts.
        """
        return older
