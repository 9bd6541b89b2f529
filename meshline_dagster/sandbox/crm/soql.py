"""Parse the part of SOQL that a change feed, or somebody with curl, sends.

    SELECT field, ... | COUNT() | COUNT(f) [alias], MIN|MAX|SUM(f) [alias], ...
    FROM object [WHERE conditions] [ORDER BY field [ASC|DESC], ...] [LIMIT n]

Conditions are ``= != < <= > >= [NOT] IN``, AND, OR and parentheses over text, number, boolean, date, dateTime and null.

Source: SOQL and SOSL Reference, "SOQL SELECT Syntax".
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import NoReturn

__all__ = ["Aggregate", "And", "Comparison", "Condition", "Literal", "MalformedQueryError", "Or", "Query", "parse"]

Literal = str | Decimal | bool | date | datetime | None

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<text>'(?:[^'\\]|\\.)*')
    | (?P<instant>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d))
    | (?P<day>\d{4}-\d\d-\d\d)
    | (?P<number>[+-]?\d+(?:\.\d+)?)
    | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<sign><=|>=|!=|<>|[=<>(),])
    )""",
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t"}
_FUNCTIONS = frozenset({"COUNT", "MIN", "MAX", "SUM"})
_CONSTANTS: dict[str, Literal] = {"TRUE": True, "FALSE": False, "NULL": None}
_SIGNS = frozenset({"=", "!=", "<>", "<", "<=", ">", ">="})


class MalformedQueryError(Exception):
    """The query cannot be parsed."""


@dataclass(frozen=True, slots=True)
class Aggregate:
    """``COUNT(Id) alias``; ``field`` is None for ``COUNT()``."""

    function: str
    field: str | None
    alias: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """``field sign value``; ``IN`` and ``NOT IN`` have several values."""

    field: str
    sign: str
    values: tuple[Literal, ...]


@dataclass(frozen=True, slots=True)
class And:
    """All parts hold."""

    parts: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one part holds."""

    parts: tuple["Condition", ...]


Condition = Comparison | And | Or


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed query; ``order`` holds ``(field, descending)``."""

    fields: tuple[str, ...]
    aggregates: tuple[Aggregate, ...]
    object_name: str
    where: Condition | None
    order: tuple[tuple[str, bool], ...]
    limit: int | None


def parse(text: str) -> Query:
    """Parse one query.

    Raises:
        MalformedQueryError: it is none, or uses more of SOQL than is supported.
    """
    return _Parser(text).query()


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = _tokenize(text)
        self._place = 0
        self._text = text

    def query(self) -> Query:
        self._expect("SELECT")
        fields, aggregates = self._selection()
        self._expect("FROM")
        object_name = self._word()
        where = self._any_of() if self._accept("WHERE") else None
        order = self._order() if self._accept("ORDER") else ()
        limit = int(self._take("number")) if self._accept("LIMIT") else None
        if self._place != len(self._tokens):
            self._fail()
        return Query(tuple(fields), tuple(aggregates), object_name, where, order, limit)

    def _selection(self) -> tuple[list[str], list[Aggregate]]:
        fields: list[str] = []
        aggregates: list[Aggregate] = []
        while True:
            name = self._word()
            if name.upper() in _FUNCTIONS and self._accept("("):
                aggregates.append(self._aggregate(name.upper(), len(aggregates)))
            else:
                fields.append(name)
            if not self._accept(","):
                return fields, aggregates

    def _aggregate(self, function: str, number: int) -> Aggregate:
        field = None if self._peek() == ")" else self._word()
        self._expect(")")
        kind, value = self._tokens[self._place] if self._place < len(self._tokens) else ("", "")
        alias = self._word() if kind == "word" and value.upper() != "FROM" else f"expr{number}"
        return Aggregate(function, field, alias)

    def _any_of(self) -> Condition:
        parts = [self._all_of()]
        while self._accept("OR"):
            parts.append(self._all_of())
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _all_of(self) -> Condition:
        parts = [self._one()]
        while self._accept("AND"):
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _one(self) -> Condition:
        if self._accept("("):
            inner = self._any_of()
            self._expect(")")
            return inner
        field = self._word()
        if self._accept("IN"):
            return Comparison(field, "IN", self._list())
        if self._accept("NOT"):
            self._expect("IN")
            return Comparison(field, "NOT IN", self._list())
        sign = self._take("sign")
        if sign not in _SIGNS:
            self._fail()
        return Comparison(field, "!=" if sign == "<>" else sign, (self._literal(),))

    def _list(self) -> tuple[Literal, ...]:
        self._expect("(")
        values = [self._literal()]
        while self._accept(","):
            values.append(self._literal())
        self._expect(")")
        return tuple(values)

    def _literal(self) -> Literal:
        kind, text = self._next()
        if kind == "text":
            return _ESCAPE.sub(lambda match: _ESCAPED.get(match[1], match[1]), text[1:-1])
        if kind == "number":
            return Decimal(text)
        if kind == "instant":
            return datetime.fromisoformat(text)
        if kind == "day":
            return date.fromisoformat(text)
        if kind != "word" or text.upper() not in _CONSTANTS:
            self._fail()
        return _CONSTANTS[text.upper()]

    def _order(self) -> tuple[tuple[str, bool], ...]:
        self._expect("BY")
        keys: list[tuple[str, bool]] = []
        while True:
            field = self._word()
            descending = self._accept("DESC")
            if not descending:
                self._accept("ASC")
            keys.append((field, descending))
            if not self._accept(","):
                return tuple(keys)

    def _peek(self) -> str:
        return self._tokens[self._place][1].upper() if self._place < len(self._tokens) else ""

    def _next(self) -> tuple[str, str]:
        if self._place >= len(self._tokens):
            self._fail()
        self._place += 1
        return self._tokens[self._place - 1]

    def _take(self, kind: str) -> str:
        found, text = self._next()
        if found != kind:
            self._fail()
        return text

    def _word(self) -> str:
        return self._take("word")

    def _accept(self, text: str) -> bool:
        if self._peek() != text:
            return False
        self._place += 1
        return True

    def _expect(self, text: str) -> None:
        if not self._accept(text):
            self._fail()

    def _fail(self) -> NoReturn:
        found = self._tokens[self._place][1] if self._place < len(self._tokens) else "<EOF>"
        raise MalformedQueryError(f"unexpected token: '{found}' in: {self._text}")


def _tokenize(text: str) -> Sequence[tuple[str, str]]:
    tokens: list[tuple[str, str]] = []
    place, end = 0, len(text.rstrip())
    while place < end:
        match = _TOKEN.match(text, place)
        if match is None or match.lastgroup is None:
            raise MalformedQueryError(f"unexpected character at {place} in: {text}")
        tokens.append((match.lastgroup, match[match.lastgroup]))
        place = match.end()
    return tokens
