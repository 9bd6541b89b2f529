"""What becomes of masters (customers, addresses, items) that orders wait for: matched first, then created, or left to a person, as the policy says."""

from meshline_dagster.core.documents import Document, DocumentKind
from meshline_dagster.core.errors import GateError
from meshline_dagster.core.identity import is_our_name
from meshline_dagster.delivery.options import DeliveryOptions, MissingMaster

__all__ = ["check_masters", "is_matched_first", "is_only_matched"]


def is_only_matched(kind: DocumentKind, options: DeliveryOptions) -> bool:
    """Whether the ERP is asked for a record of this kind and none is ever made."""
    return options.missing(kind) is MissingMaster.EXCEPTION


def is_matched_first(document: Document) -> bool:
    """Whether the ERP may hold the record without our doing: it goes by a code that others give, too."""
    return document.operation == "create" and not is_our_name(document.kind.value, document.external_id)


def check_masters(options: DeliveryOptions, operations: frozenset[tuple[DocumentKind, str]]) -> None:
    """Raise unless the ERP can find, and where the policy asks for it make, every master that the workflow keeps.

    Args:
        operations: what the adapter declares.

    Raises:
        GateError: naming what it cannot do, and the setting that needs it.
    """
    for kind, missing in options.masters.items():
        wanted = {"create"} if missing is MissingMaster.CREATE else {"create", "find"}
        if not any((kind, how) in operations for how in wanted):
            raise GateError(
                f"{options.destination} does not declare that it can {max(wanted)} {kind.value} documents, which the policy "
                f"`missing_{kind.value}: {missing.value}` needs: leave it out, or use a writer that declares them"
            )
