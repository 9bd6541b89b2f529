"""Foreign text, made safe to keep: bounded, storable everywhere, without secrets."""

import re

from meshline_dagster.core.redaction import redacted

__all__ = ["kept_text"]

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_MARK = "…"
_SURPLUS = 4


def kept_text(value: str, limit: int = 2_000) -> str:
    """The text as it may be kept in the ledger and the audit log.

    Secrets are blotted out, NUL and lone surrogates (which PostgreSQL cannot store) become U+FFFD, and what is longer than ``limit``
    characters is cut. Of a text that is much longer only the beginning is looked at.
    """
    if not value:
        return value
    safe = _UNSTORABLE.sub("\ufffd", redacted(value[: _SURPLUS * limit]))
    is_cut = len(safe) > limit or len(value) > _SURPLUS * limit
    return safe[: limit - 1] + _MARK if is_cut else safe
