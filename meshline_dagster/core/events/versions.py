"""Semantic versions of contracts: major, minor, patch."""

import re
from enum import IntEnum
from typing import NamedTuple, Self

from meshline_dagster.core.errors import ConfigError

__all__ = ["Level", "Version"]

_FORM = re.compile(r"(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)")


class Level(IntEnum):
    """How far a change reaches, and with it which part of the version has to grow.

    ``PATCH``: words alone, which may also be mended without a new version. ``MINOR``: who wrote or read the old version goes on as
    before. ``MAJOR``: breaking, somebody has to change something.
    """

    NONE = 0
    PATCH = 1
    MINOR = 2
    MAJOR = 3


class Version(NamedTuple):
    """``major.minor.patch``, in the order of numbers."""

    major: int
    minor: int
    patch: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``1.2.0``.

        Raises:
            ConfigError: that is no semantic version of three numbers.
        """
        found = _FORM.fullmatch(text)
        if found is None:
            raise ConfigError(f"{text!r} is no version: write three numbers, as in 1.2.0")
        return cls(*(int(part) for part in found.groups()))

    def level_to(self, newer: Self) -> Level:
        """The part that grew; ``NONE`` when ``newer`` is not newer."""
        if newer <= self:
            return Level.NONE
        if newer.major > self.major:
            return Level.MAJOR
        return Level.MINOR if newer.minor > self.minor else Level.PATCH

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"
