"""What PostgreSQL says when it is there and does not let us in, and what to set then.

Its words alone tell: the driver hands no code on for a connection that was not made, whether the server is away or refuses us.
"""

import re

__all__ = ["what_to_set"]

_SET = "in MESHLINE_STORE_URL"
_REFUSALS = [
    (
        r"no pg_hba\.conf entry|pg_hba\.conf rejects",
        f"let user, database and this machine in in the server's pg_hba.conf, or correct them {_SET}",
    ),
    (
        r"password authentication failed|no password supplied|authentication failed for user",
        f"set user and password {_SET}",
    ),
    (
        r'role "[^"]*" (?:does not exist|is not permitted to log in)',
        f"correct the user {_SET}, or create it: create role NAME login",
    ),
    (r'database "[^"]*" does not exist', f"create the database with createdb, or correct its name {_SET}"),
    (r"permission denied for database", f"grant connect on the database to the user, or correct them {_SET}"),
    (r"server does not support SSL", f"set sslmode {_SET} as the server wants it"),
]
_KNOWN = [(re.compile(words), advice) for words, advice in _REFUSALS]


def what_to_set(words: str) -> str | None:
    """What helps against the refusal in these words of the driver; None when they tell of none: the server is away, or full.

    A server whose messages are not in English counts as away.
    """
    return next((advice for pattern, advice in _KNOWN if pattern.search(words)), None)
