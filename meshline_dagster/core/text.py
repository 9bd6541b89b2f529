"""Foreign text, made safe to keep: bounded, storable everywhere, without secrets."""

import re

__all__ = ["kept_text"]

_SECRETS = re.compile(
    r"(?i)\b(authorization|bearer|basic|token|secret|password|passwd|api[-_ ]?key|session)\b"
    r"(\"?\s*[:=]\s*\"?(?:bearer\s+|basic\s+)?|\s+)([A-Za-z0-9+/=_.~\-]{8,})"
)
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_MARK = "…"


def kept_text(value: str, limit: int = 2_000) -> str:
    """The text as it may be kept in the ledger and the audit log.

    What stands behind a word such as ``token`` or ``password`` is blotted out, NUL and lone surrogates (which PostgreSQL cannot store)
    become U+FFFD, and what is longer than ``limit`` characters is cut.
    """
    safe = _UNSTORABLE.sub("\ufffd", _SECRETS.sub(r"\1\2***", value))
    return safe if len(safe) <= limit else safe[: limit - 1] + _MARK
