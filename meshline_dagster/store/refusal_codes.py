"""The SQLSTATE with which a PostgreSQL server refuses a connection.

The driver keeps it to itself, and its words are in the server's language, which nobody can set before the connection stands. But the client
library puts the code into its words when it is told to between the start of a connection and its first answer, and the driver lets us
in between there where it connects asynchronously.
"""

import re
from contextlib import closing
from ctypes import CDLL, c_int, c_void_p
from importlib.util import find_spec
from select import select
from time import monotonic
from typing import Any

import psycopg2  # type: ignore[import-untyped]  # its stubs are another package
from psycopg2.extensions import POLL_READ, POLL_WRITE  # type: ignore[import-untyped]  # as above
from sqlalchemy import Engine

__all__ = ["refusal_code"]

_NO_PASSWORD = "28P01"  # noqa: S105 - an SQLSTATE
_SECONDS = 5.0
_SQLSTATE_ALONE = 3  # PQERRORS_SQLSTATE of libpq-fe.h, since libpq 12
_CODE = re.compile(r":\s+([0-9A-Z]{5})\s*$", re.MULTILINE)


def refusal_code(engine: Engine) -> str | None:
    """The SQLSTATE with which the server refuses a connection now, in whatever language; None when it lets us in, does not answer within
    seconds, or the client library does not tell (one that is linked into the driver, as on Windows).
    """
    arguments, options = engine.dialect.create_connect_args(engine.url)
    try:
        with closing(psycopg2.connect(*arguments, **options, async_=True)) as connection:
            return _refused(connection)
    except (psycopg2.Error, OSError, AttributeError):  # nothing was begun; no library to ask; an old one
        return None


def _refused(connection: Any) -> str | None:
    library = CDLL(_driver())
    connected = c_void_p(connection.pgconn_ptr)
    library.PQsetErrorVerbosity(connected, c_int(_SQLSTATE_ALONE))
    try:
        _finish(connection, monotonic() + _SECONDS)
    except psycopg2.Error as error:
        if library.PQconnectionNeedsPassword(connected):
            return _NO_PASSWORD
        codes = _CODE.findall(str(error))
        return codes[-1] if codes else None
    return None


def _driver() -> str | None:
    """The file of the driver's extension: what it calls is the libpq that it has loaded itself."""
    spec = find_spec("psycopg2._psycopg")
    return None if spec is None else spec.origin


def _finish(connection: Any, deadline: float) -> None:
    """Go on with connecting until it is done, has failed, or takes too long."""
    while (state := connection.poll()) in {POLL_READ, POLL_WRITE} and (left := deadline - monotonic()) > 0:
        reads, writes = ([connection], []) if state == POLL_READ else ([], [connection])
        select(reads, writes, [], left)
