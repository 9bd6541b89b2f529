"""The points of delivery at which a process can die, named from its source and recognised while it runs.

Named from the syntax tree: every ``await`` (``engine._Delivery.run await self._pass_or_wait(...)``), every ``async with`` that may wait, and both
sides of every transaction that writes. A point that is new in the source is in the list without anybody's help.
"""

import ast
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, TypeGuard

from meshline_dagster import delivery

__all__ = ["commit_of_caller", "crash_points", "points_of_chain", "points_of_stack"]

_FOLDER = Path(delivery.__file__).parent
_READERS = frozenset({"deletions", "readback"})
"""Modules that only read the ERP: they write nothing that a crash could tear apart."""

_TEXT = 60
_Position = tuple[int, int, int, int]


@lru_cache(maxsize=1)
def crash_points() -> tuple[str, ...]:
    """The names of all points, in the order of the source."""
    names = list(dict.fromkeys(name for awaits, _ in _modules() for name in awaits.values()))
    for _, commits in _modules():
        names += [f"{side} {name}" for name in commits.values() for side in ("before", "after")]
    return tuple(names)


def points_of_chain(coroutine: Any) -> tuple[str, ...]:
    """Where a suspended coroutine stands inside delivery, outermost ``await`` first."""
    names: list[str] = []
    while coroutine is not None:
        frame: FrameType | None = getattr(coroutine, "cr_frame", None)
        if frame is not None:
            name = _await_name(frame.f_code, frame.f_lasti)
            if name is not None:
                names.append(name)
        coroutine = getattr(coroutine, "cr_await", None)
    return tuple(names)


def points_of_stack() -> tuple[str, ...]:
    """The same for a coroutine that runs: where it and all that wait for it stand."""
    names: list[str] = []
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - as below
    while frame is not None:
        name = _await_name(frame.f_code, frame.f_lasti)
        if name is not None:
            names.append(name)
        frame = frame.f_back
    return tuple(reversed(names))


def commit_of_caller() -> str | None:
    """The name of the transaction of delivery that is being opened further up the stack; None when it is not delivery's."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - the only way to the caller without a hook in the product
    while frame is not None:
        commits = _commits().get(frame.f_code.co_filename)
        if commits is not None:
            return commits.get(frame.f_lineno)
        frame = frame.f_back
    return None


@lru_cache(maxsize=4096)
def _await_name(code: CodeType, instruction: int) -> str | None:
    awaits = _awaits().get(code.co_filename)
    if awaits is None:
        return None
    for place, found in enumerate(code.co_positions()):
        if place == instruction // 2:
            line, end_line, column, end_column = found
            return awaits.get((line or 0, end_line or 0, column or 0, end_column or 0))
    return None


@lru_cache(maxsize=1)
def _awaits() -> dict[str, dict[_Position, str]]:
    return {str(file): found for file, (found, _) in zip(_files(), _modules(), strict=True)}


@lru_cache(maxsize=1)
def _commits() -> dict[str, dict[int, str]]:
    return {str(file): found for file, (_, found) in zip(_files(), _modules(), strict=True)}


def _files() -> list[Path]:
    return [file for file in sorted(_FOLDER.glob("*.py")) if file.stem not in _READERS]


@lru_cache(maxsize=1)
def _modules() -> tuple[tuple[dict[_Position, str], dict[int, str]], ...]:
    return tuple(_points_of(file) for file in _files())


def _points_of(file: Path) -> tuple[dict[_Position, str], dict[int, str]]:
    awaits: dict[_Position, str] = {}
    commits: dict[int, str] = {}
    counts: dict[str, int] = {}

    def named(text: str) -> str:
        counts[text] = counts.get(text, 0) + 1
        return text if counts[text] == 1 else f"{text} #{counts[text]}"

    for where, node in _nodes(ast.parse(file.read_text(encoding="utf-8")), file.stem):
        if isinstance(node, ast.Await):
            awaits[_position(node)] = awaits[_position(node.value)] = named(f"{where} await {_short(node.value)}")
        elif isinstance(node, ast.AsyncFor):
            awaits[_position(node)] = awaits[_position(node.iter)] = named(f"{where} async for {_short(node.iter)}")
        elif isinstance(node, ast.AsyncWith) and not all(_is_deadline(item.context_expr) for item in node.items):
            name = named(f"{where} async with {_short(node.items[0].context_expr)}")
            for one in (node, *(item.context_expr for item in node.items)):
                awaits[_position(one)] = name
        elif _is_write(node):
            commits[node.lineno] = named(f"commit of {where}")
    return awaits, commits


def _nodes(node: ast.AST, where: str) -> Iterator[tuple[str, ast.AST]]:
    """All nodes below, each with the dotted name of its function."""
    for child in ast.iter_child_nodes(node):
        inside = where
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            inside = f"{where}.{child.name}"
        yield inside, child
        yield from _nodes(child, inside)


def _position(node: Any) -> _Position:
    return node.lineno, node.end_lineno, node.col_offset, node.end_col_offset


def _is_deadline(node: ast.expr) -> bool:
    """``asyncio.timeout(...)`` or ``within(...)``: entering and leaving it never waits."""
    return isinstance(node, ast.Call) and ast.unparse(node.func) in {"asyncio.timeout", "within"}


def _is_write(node: ast.AST) -> TypeGuard[ast.Call]:
    """A call of ``store.write()``, whatever the store is named."""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "write"
        and ast.unparse(node.func.value).endswith("store")
    )


def _short(node: ast.expr) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= _TEXT else text[: _TEXT - 3] + "..."
