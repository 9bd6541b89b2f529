"""Salesforce-shaped ids: 15 case-sensitive characters and a three-character suffix that makes them safe to compare
without case.

Source: Salesforce Help, "18-character record ids".
"""

import hashlib
import string

__all__ = ["record_id"]

_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
_SUFFIX = string.ascii_uppercase + "012345"
_BODY_LENGTH = 12


def record_id(prefix: str, name: str) -> str:
    """The id that ``name`` always gets: three characters of prefix, twelve of its hash, three of checksum."""
    number = int.from_bytes(hashlib.sha256(f"{prefix}/{name}".encode()).digest()[:9])
    body = ""
    for _ in range(_BODY_LENGTH):
        number, digit = divmod(number, len(_BASE62))
        body += _BASE62[digit]
    case_sensitive = prefix + body
    return case_sensitive + "".join(_checksum(case_sensitive[start : start + 5]) for start in (0, 5, 10))


def _checksum(chunk: str) -> str:
    return _SUFFIX[sum(1 << place for place, character in enumerate(chunk) if character.isupper())]
