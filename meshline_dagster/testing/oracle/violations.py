"""What the oracle complains of."""

from dataclasses import dataclass

__all__ = ["Violation"]


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that must not be.

    Attributes:
        check: its name in one word.
        beyond: no client could have prevented it, because the ERP acted later than it promises (``settle_after``); then it has to
            be detected instead.
    """

    check: str
    external_id: str
    message: str
    beyond: bool = False

    def __str__(self) -> str:
        return f"{self.check} {self.external_id}: {self.message}{' (beyond settle_after)' if self.beyond else ''}"
