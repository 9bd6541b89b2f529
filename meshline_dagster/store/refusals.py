"""What PostgreSQL says when it is there and does not let us in, and what to set then.

The driver hands no code on for a connection that was not made, only words, in the language of the server. Where these are not the English
ones that we know, the server's code is asked for: see :mod:`~meshline_dagster.store.refusal_codes`.
"""

import re

__all__ = ["what_to_set"]

_SET = "in MESHLINE_STORE_URL"
_HBA = f"let user, database and this machine in in the server's pg_hba.conf, or correct them {_SET}"
_PASSWORD = f"set user and password {_SET}"
_USER = f"correct the user {_SET}, or create it: create role NAME login"
_DATABASE = f"create the database with createdb, or correct its name {_SET}"
_GRANT = f"grant connect on the database to the user, or correct them {_SET}"
_REFUSALS = [
    (r"no pg_hba\.conf entry|pg_hba\.conf rejects", _HBA),
    (r"password authentication failed|no password supplied|authentication failed for user", _PASSWORD),
    (r'role "[^"]*" (?:does not exist|is not permitted to log in)', _USER),
    (r'database "[^"]*" does not exist', _DATABASE),
    (r"permission denied for database", _GRANT),
    (r"server does not support SSL", f"set sslmode {_SET} as the server wants it"),
]
_KNOWN = [(re.compile(words), advice) for words, advice in _REFUSALS]
# https://www.postgresql.org/docs/current/errcodes-appendix.html; the first is one for pg_hba.conf and for users
_BY_CODE = {
    "28000": f"{_HBA}; or {_USER}",
    "28P01": _PASSWORD,
    "3D000": _DATABASE,
    "42501": _GRANT,
}


def what_to_set(words: str, code: str | None = None) -> str | None:
    """What helps against the refusal in these words of the driver; None when they tell of none: the server is away, or full.

    Args:
        code: the SQLSTATE, where it is known: it counts when the words are not in English.
    """
    told = next((advice for pattern, advice in _KNOWN if pattern.search(words)), None)
    return told or _BY_CODE.get(code or "")
