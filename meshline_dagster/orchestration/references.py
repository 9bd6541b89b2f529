"""Texts that name an environment variable: ``env:NAME`` is read when it is used, so that a code location loads without secrets."""

import os
from typing import Annotated

from pydantic import AfterValidator

from meshline_dagster.core.errors import ConfigError

__all__ = ["SecretReference", "resolve"]

_PREFIX = "env:"


def resolve(value: str) -> str:
    """The text itself, or the environment variable that ``env:NAME`` names.

    Raises:
        ConfigError: the variable is not set.
    """
    if not value.startswith(_PREFIX):
        return value
    name = value.removeprefix(_PREFIX)
    found = os.environ.get(name)
    if not found:
        raise ConfigError(
            f"the environment variable {name} is not set: `make up` and `make demo` set it for the sandbox"
        )
    return found


def _secret_reference(value: str) -> str:
    if not value.startswith(_PREFIX):
        raise ValueError("a secret is never written here: use env:NAME_OF_THE_VARIABLE")
    return value


SecretReference = Annotated[str, AfterValidator(_secret_reference)]
"""The name of the variable that holds a secret; never the secret itself."""
