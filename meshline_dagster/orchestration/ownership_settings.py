"""Whose word each field of a document is, in a sync's YAML."""

from collections.abc import Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict, model_validator

from meshline_dagster.core.ownership import CUSTOMER_FIELDS, HEADER_FIELDS, LINE_FIELDS, Owner, Ownership

__all__ = ["OwnershipSettings"]

_Owners = dict[str, Owner]


class OwnershipSettings(BaseModel):
    """The owner of each field that is named: ``crm``, ``erp`` or ``create_only``.

    What is ``crm`` is sent whenever the document is; what is ``create_only`` is sent when it is created, and never in an amendment; what
    is ``erp`` is never sent.

    Attributes:
        sales_order: header fields; ``crm`` where nothing is said. What orders are reconciled and invoiced by can be nothing else.
        lines: the same for the fields of lines.
        customer: ``create_only`` where nothing is said, since a customer is created once; terms, credit and tax ids are ``erp``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    sales_order: _Owners = {}
    lines: _Owners = {}
    customer: _Owners = {}

    @model_validator(mode="after")
    def _can_be_owned(self) -> Self:
        _check("sales_order", self.sales_order, HEADER_FIELDS)
        _check("lines", self.lines, LINE_FIELDS)
        _check("customer", self.customer, CUSTOMER_FIELDS)
        ours = sorted(name for name, owner in self.customer.items() if owner is Owner.CRM)
        if ours:
            raise ValueError(
                f"customer.{ours[0]}: a customer is created once and never amended, so its fields are create_only or erp"
            )
        return self

    @property
    def owners(self) -> Ownership:
        """The same for the delivery engine."""
        return Ownership(self.sales_order, self.lines, self.customer)


def _check(where: str, owners: Mapping[str, Owner], fields: Mapping[str, bool]) -> None:
    """Refuse what is no field, and an owner for what orders, or customers, cannot do without."""
    unknown = sorted(owners.keys() - fields.keys())
    if unknown:
        raise ValueError(f"{where}.{unknown[0]}: there is no such field; there are {', '.join(sorted(fields))}")
    fixed = "create_only" if where == "customer" else "crm"
    for name, owner in owners.items():
        if not fields[name] and owner.value != fixed:
            free = ", ".join(sorted(one for one, can in fields.items() if can))
            raise ValueError(
                f"{where}.{name}: it is always {fixed}, since what we post is found, reconciled and invoiced by it; another owner can be "
                f"given to {free}"
            )
