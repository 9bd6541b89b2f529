"""Alerts: one text to every address that the operator configured, by apprise (e-mail, webhook, chat, pager).

Addresses are apprise URLs in ``MESHLINE_ALERT_URLS``, separated by spaces: they hold secrets, so they never appear in logs.
"""

import logging
import os
from collections.abc import Sequence

from meshline_dagster.core.errors import ConfigError

__all__ = ["alert", "alert_urls"]

_LOG = logging.getLogger("meshline.alerts")


def alert_urls() -> list[str]:
    """The configured addresses; none means that alerts are only logged."""
    return os.environ.get("MESHLINE_ALERT_URLS", "").split()


def alert(title: str, body: str, *, urls: Sequence[str] | None = None) -> bool:
    """Log the alert and send it to every address. Returns whether all addresses took it.

    Raises:
        ConfigError: an address that apprise does not understand, named by its scheme only.
    """
    _LOG.warning("%s: %s", title, body)
    targets = alert_urls() if urls is None else urls
    if not targets:
        return True
    import apprise  # noqa: PLC0415 - slow to import, and rarely needed

    sender = apprise.Apprise()
    for url in targets:
        if not sender.add(url):
            raise ConfigError(
                f"MESHLINE_ALERT_URLS holds an address that apprise cannot use ({url.split(':')[0]}://...)"
            )
    return bool(sender.notify(title=title, body=body))
