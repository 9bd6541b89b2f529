"""Alert channels: the log, and every address that the operator configured, by apprise (e-mail, webhook, chat, pager).

Addresses are apprise URLs in ``MESHLINE_ALERT_URLS``, separated by spaces. They hold secrets: a channel is known by its scheme and a
short digest, and its address appears nowhere else.
"""

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import scrypt
from typing import Any

__all__ = ["Channel", "channels"]

_LOG = logging.getLogger("meshline.alerts")


@dataclass(frozen=True, slots=True)
class Channel:
    """One way to tell people.

    Attributes:
        name: what the channel is called in logs and in the ops store, e.g. ``json#1f3a9c02``; it tells no secret.
        send: takes title and body; returns whether the other side took them.
    """

    name: str
    send: Callable[[str, str], bool]


def channels(urls: Sequence[str] | None = None) -> list[Channel]:
    """The log first, then the configured addresses. One that apprise does not understand is a channel that takes nothing.

    Args:
        urls: apprise URLs; by default those of ``MESHLINE_ALERT_URLS``.
    """
    addresses = os.environ.get("MESHLINE_ALERT_URLS", "").split() if urls is None else urls
    return [Channel("log", _log), *(_channel(address) for address in dict.fromkeys(addresses))]


def _log(title: str, body: str) -> bool:
    _LOG.warning("%s: %s", title, body)
    return True


def _channel(address: str) -> Channel:
    scheme = address.split(":", maxsplit=1)[0] if "://" in address else "unknown"
    name = f"{scheme[:40]}#{_digest(address)}"
    sender = _sender(address)
    if not sender:
        return Channel(name, lambda _title, _body: _unusable(name))
    return Channel(name, lambda title, body: bool(sender.notify(title=title, body=body)))


def _sender(address: str) -> Any:
    """Apprise's sender for one address, an empty one where it understands none. It would log addresses that it cannot read, and debug
    texts quote all of them.
    """
    import apprise  # noqa: PLC0415 - slow to import, and needed only where addresses are configured

    log, sender = logging.getLogger("apprise"), apprise.Apprise()
    log.setLevel(logging.WARNING)
    log.disabled = True
    try:
        sender.add(address)
    finally:
        log.disabled = False
    return sender


@cache
def _digest(address: str) -> str:
    """Slow to compute on purpose: who reads a log shall not find a weak password by trying."""
    return scrypt(address.encode(), salt=b"meshline alert channel", n=2**14, r=8, p=1, dklen=4).hex()


def _unusable(name: str) -> bool:
    _LOG.error("MESHLINE_ALERT_URLS holds an address that apprise cannot use: %s; correct it", name)
    return False
