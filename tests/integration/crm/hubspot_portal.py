"""A sandbox portal over HTTP for the tests of a module, emptied for each of them."""

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from pydantic import SecretStr

from meshline_dagster.core.cursors import Window
from meshline_dagster.crm.hubspot_session import HubSpotSession
from meshline_dagster.crm.retry import RetryPolicy
from meshline_dagster.sandbox.hubspot import HubSpotSandbox, create_app, empty_portal
from meshline_dagster.sandbox.serve import serve

__all__ = ["EVER", "NOW", "QUICK", "Portal", "rows", "served_portal"]

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
EVER = Window(datetime(2020, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC))
QUICK = RetryPolicy(attempts=3, wait_initial=0.001, wait_max=0.05, wait_jitter=0)


class Portal:
    """A running server, its sandbox of the moment, and sessions with it."""

    def __init__(self, app, url):
        self._app, self.url = app, url
        self.sandbox = app.state.sandbox

    def empty(self):
        """Begin anew."""
        self.sandbox = self._app.state.sandbox = HubSpotSandbox(empty_portal(NOW))

    def session(self, token="sandbox-token", **options):
        given = {"retry": QUICK, "searches_per_second": 10_000} | options
        return HubSpotSession(base_url=self.url, token=SecretStr(token), **given)

    def pass_time(self, **time):
        self.sandbox.clock.advance(timedelta(**time).total_seconds())

    def asked(self, part):
        """How many requests had this in them."""
        return sum(part in request for request in self.sandbox.requests)


@contextmanager
def served_portal():
    app = create_app(HubSpotSandbox(empty_portal(NOW)))
    with serve(app) as url:
        yield Portal(app, url)


def rows(feed, window=EVER):
    """All rows of a window, as dicts."""
    return [row for table in feed.read(window) for row in table.to_pylist()]
