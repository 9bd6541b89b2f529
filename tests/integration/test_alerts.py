"""A failed check leaves Dagster through the sensor: as an exception in the queue, and as an alert to real servers on loopback."""

import json
import socket
import threading
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import dagster as dg
import pytest
from aiosmtpd.controller import Controller

from meshline_dagster.core.errors import TransientError
from meshline_dagster.delivery.outage import OUTAGE
from meshline_dagster.orchestration.check_sensor import check_sensor
from meshline_dagster.orchestration.resources import MeshlineResource
from meshline_dagster.orchestration.settings import RestDestination, SalesforceSource, SyncSettings
from meshline_dagster.store.alerts import record_alerts, record_recovery, untold, untold_recoveries
from meshline_dagster.store.engine import open_store
from meshline_dagster.store.exceptions import Finding, exceptions, raise_exceptions, resolve
from meshline_dagster.store.tables import alert_sent

SETTINGS = SyncSettings(sources=(SalesforceSource(),), destination=RestDestination(), origin=date(2026, 1, 1))
TITLE = "The check duplicates of orders failed"


class Hook:
    """A webhook's server: what was posted to it, and what it answers."""

    def __init__(self):
        self.bodies, self.status, self.paths = [], 200, []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.paths.append(self.path)
                if hook.status == 200:
                    hook.bodies.append(json.loads(body))
                self.send_response(hook.status)
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"json://127.0.0.1:{self._server.server_port}/hooks/s3cret"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Mailbox:
    """What an SMTP server was given."""

    def __init__(self):
        self.letters = []

    async def handle_DATA(self, _server, _session, envelope):  # noqa: N802 - aiosmtpd calls it so
        self.letters.append(envelope)
        return "250 taken"


@pytest.fixture
def hook():
    server = Hook()
    yield server
    server.close()


@pytest.fixture
def mail():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    box = Mailbox()
    server = Controller(box, hostname="127.0.0.1", port=port)
    server.start()
    box.url = f"mailto://127.0.0.1:{port}/?from=meshline@example.org&to=finance@example.org"
    yield box
    server.stop()


class Location:
    """A code location with one asset, whose check says what the test wants, and the product's sensor over it."""

    def __init__(self, instance, url):
        self.passes, self.instance = True, instance
        self.store = open_store(url)
        self.meshline = MeshlineResource(store_url=url)

        @dg.asset_check(asset="orders", name="duplicates")
        def duplicates():
            return dg.AssetCheckResult(passed=self.passes, metadata={"duplicates_in_erp": 0 if self.passes else 2})

        @dg.asset
        def orders():
            return None

        self.sensor = check_sensor(SETTINGS)
        self.definitions = dg.Definitions(
            assets=[orders],
            asset_checks=[duplicates],
            sensors=[self.sensor],
            jobs=[dg.define_asset_job("check")],
            resources={"meshline": self.meshline},
        )

    def check(self, *, passes):
        self.passes = passes
        assert self.definitions.get_job_def("check").execute_in_process(instance=self.instance).success

    def tick(self):
        context = dg.build_sensor_context(
            instance=self.instance,
            repository_def=self.definitions.get_repository_def(),
            resources={"meshline": self.meshline},
        )
        return self.sensor.evaluate_tick(context).skip_message

    def queue(self, *, only_open=True):
        with self.store.read() as connection:
            return exceptions(connection, only_open=only_open)


@pytest.fixture
def location(tmp_path):
    with dg.DagsterInstance.ephemeral() as instance:
        place = Location(instance, f"sqlite:///{tmp_path / 'ops.db'}")
        yield place
        place.store.close()


def test_a_failed_check_becomes_an_exception_and_one_post_to_the_webhook_until_it_fails_anew(
    location, hook, monkeypatch
):
    monkeypatch.setenv("MESHLINE_ALERT_URLS", hook.url)
    location.check(passes=True)
    assert location.tick() == "0 checks stand failed, 0 opened, 0 resolved"
    assert hook.paths == []
    location.check(passes=False)
    location.tick()
    [item] = location.queue()
    assert (item.origin, item.code, item.owner, item.priority) == ("check", "check_failed", "revops", "P2")
    [body] = hook.bodies
    assert body["title"] == item.title == TITLE
    assert "duplicates_in_erp 2" in body["message"]
    assert item.fix in body["message"]
    assert "owner revops" in body["message"]
    location.check(passes=False)
    location.tick()
    location.tick()
    assert len(hook.bodies) == 1
    location.check(passes=True)
    location.tick()
    assert location.queue() == []
    location.check(passes=False)
    location.tick()
    assert [item.status for item in location.queue()] == ["reopened"]
    assert len(hook.bodies) == 2


def test_an_alert_goes_out_as_e_mail_once(location, mail, monkeypatch):
    monkeypatch.setenv("MESHLINE_ALERT_URLS", mail.url)
    location.check(passes=False)
    location.tick()
    location.tick()
    [letter] = mail.letters
    assert letter.mail_from == "meshline@example.org"
    assert letter.rcpt_tos == ["finance@example.org"]
    assert TITLE in letter.content.decode()


def test_a_channel_that_fails_keeps_the_exception_fails_the_tick_and_is_tried_again(
    location, hook, mail, monkeypatch, caplog
):
    monkeypatch.setenv("MESHLINE_ALERT_URLS", f"{hook.url} {mail.url}")
    hook.status = 503
    location.check(passes=False)
    for _ in range(2):
        with pytest.raises(TransientError, match=r"took nothing.*json#[0-9a-f]{8}=1\)$") as failure:
            location.tick()
        assert "s3cret" not in str(failure.value)
    assert [item.title for item in location.queue()] == [TITLE]
    assert len(mail.letters) == 1  # a broken channel costs the others neither their alert nor a second one
    assert any("took no alert about check:crm_to_erp:orders:duplicates" in text for text in caplog.messages)
    hook.status = 200
    location.tick()
    location.tick()
    assert [body["title"] for body in hook.bodies] == [TITLE]
    assert len(mail.letters) == 1


def test_an_address_that_nobody_understands_costs_the_others_nothing_and_is_told_without_its_secret(
    location, hook, monkeypatch, caplog
):
    monkeypatch.setenv("MESHLINE_ALERT_URLS", f"jsom://127.0.0.1/pa55word {hook.url}")
    location.check(passes=False)
    with pytest.raises(TransientError, match="jsom#"):
        location.tick()
    assert len(hook.bodies) == 1
    assert [item.title for item in location.queue()] == [TITLE]
    assert any("an address that apprise cannot use: jsom#" in text for text in caplog.messages)
    with location.store.read() as connection:
        kept = str(connection.execute(alert_sent.select()).all())
    assert all("pa55word" not in text and "s3cret" not in text for text in (kept, *caplog.messages))


def test_without_addresses_the_log_is_told_once(location, monkeypatch, caplog):
    monkeypatch.delenv("MESHLINE_ALERT_URLS", raising=False)
    location.check(passes=False)
    assert location.tick() == "1 checks stand failed, 1 opened, 0 resolved, 1 alerts sent"
    assert location.tick() == "1 checks stand failed, 0 opened, 0 resolved"
    assert sum(text.startswith(TITLE) for text in caplog.messages) == 1


def test_a_channel_that_comes_later_hears_of_what_stands(location, hook, monkeypatch):
    monkeypatch.delenv("MESHLINE_ALERT_URLS", raising=False)
    location.check(passes=False)
    location.tick()
    monkeypatch.setenv("MESHLINE_ALERT_URLS", hook.url)
    location.tick()
    assert len(hook.bodies) == 1
    with location.store.read() as connection:
        assert all(row.sent_at <= datetime.now(UTC) for row in connection.execute(alert_sent.select()))


def test_an_outage_is_told_once_and_its_end_once(location, hook, monkeypatch):
    monkeypatch.setenv("MESHLINE_ALERT_URLS", hook.url)
    other = Finding("delivery:sandbox:x", "delivery", "rejected", "refused", "d", "f")
    down = Finding("outage:sandbox", "delivery", OUTAGE, "sandbox does not take orders", "refused", "f", priority="P1")
    for day in (1, 2):
        at = datetime.now(UTC)
        with location.store.write() as connection:
            raise_exceptions(connection, [down, other], now=at)
        for _ in range(2):
            location.tick()
        with location.store.write() as connection:
            resolve(connection, [down.trace_key], resolution="sandbox answers again after 1:00", now=datetime.now(UTC))
        for _ in range(2):
            location.tick()
        titles = [body["title"] for body in hook.bodies]
        assert titles == ["sandbox does not take orders", "Over: sandbox does not take orders"] * day
    assert hook.bodies[1]["message"] == "sandbox answers again after 1:00"


def test_who_never_heard_of_an_outage_does_not_hear_of_its_end(location, hook, monkeypatch):
    down = Finding("outage:sandbox", "delivery", OUTAGE, "sandbox does not take orders", "refused", "f", priority="P1")
    with location.store.write() as connection:
        raise_exceptions(connection, [down], now=datetime.now(UTC))
        resolve(connection, [down.trace_key], resolution="back", now=datetime.now(UTC))
    monkeypatch.setenv("MESHLINE_ALERT_URLS", hook.url)
    location.tick()
    assert hook.bodies == []


def dead(number, amount="10.50", currency="USD"):
    return Finding(
        trace_key=f"delivery:sandbox:{number}",
        origin="delivery",
        code="attempts_used_up",
        title=f"order {number}: attempts used up",
        detail="busy",
        fix=f"`meshline postings retry {number} --reason TEXT`",
        owner="integrations",
        priority="P1",
        entity_key=f"order/{number}",
        amount=Decimal(amount),
        currency=currency,
    )


def raised(location, findings):
    with location.store.write() as connection:
        raise_exceptions(connection, findings, now=datetime.now(UTC))


def test_every_exception_of_priority_p1_is_told_at_once_and_once_whoever_found_it(location, hook, monkeypatch):
    monkeypatch.setenv("MESHLINE_ALERT_URLS", hook.url)
    of_feed = Finding("feed:x", "feed", "source_broken", "the source is broken", "d", "f", priority="P1")
    later = Finding("disposition:x", "disposition", "product_unmapped", "not mapped", "d", "f", priority="P2")
    raised(location, [dead(1), of_feed, later])
    assert location.tick() == "0 checks stand failed, 0 opened, 0 resolved, 4 alerts sent"  # the log is a channel, too
    location.tick()
    assert [body["title"] for body in hook.bodies] == ["order 1: attempts used up", "the source is broken"]
    assert "`meshline postings retry 1 --reason TEXT`" in hook.bodies[0]["message"]
    assert "P1, owner integrations, due " in hook.bodies[0]["message"]
    with location.store.write() as connection:
        resolve(connection, [dead(1).trace_key], resolution="posted", now=datetime.now(UTC))
    location.tick()
    assert len(hook.bodies) == 2
    raised(location, [dead(1)])
    location.tick()
    assert len(hook.bodies) == 3


def test_a_burst_of_one_code_is_one_message_with_its_count_its_money_and_the_first_few(location, hook, monkeypatch):
    monkeypatch.setenv("MESHLINE_ALERT_URLS", hook.url)
    again = replace(dead(700), trace_key="fingerprint:700")  # a second exception of the same order and money
    raised(location, [*(dead(number) for number in range(1, 701)), dead(701, "7", "EUR"), again])
    location.tick()
    location.tick()
    [body] = hook.bodies
    assert body["title"] == "702 exceptions: attempts used up"
    assert "Worth 7 EUR, 7350 USD." in body["message"]
    assert [f"order {number}: attempts used up" in body["message"] for number in (1, 2, 3, 4)] == [True] * 3 + [False]
    assert "... and 699 more: `meshline exceptions list --limit 0`" in body["message"]
    raised(location, [dead(number) for number in range(1000, 1003)])
    location.tick()
    assert [body["title"] for body in hook.bodies[1:]] == [
        f"order {number}: attempts used up" for number in range(1000, 1003)
    ]


def test_a_burst_that_a_channel_did_not_take_is_told_again_as_a_whole(location, hook, monkeypatch):
    monkeypatch.setenv("MESHLINE_ALERT_URLS", hook.url)
    hook.status = 503
    raised(location, [dead(number) for number in range(9)])
    with pytest.raises(TransientError, match=r"json#[0-9a-f]{8}=9\)$"):
        location.tick()
    hook.status = 200
    location.tick()
    assert [body["title"] for body in hook.bodies] == ["9 exceptions: attempts used up"]


def test_what_was_told_is_remembered_for_all_of_a_message_on_both_databases(ops):
    def told_of(channel="log"):
        with ops.read() as connection:
            return len(untold(connection, channel, origin="check", priority="P1"))

    now = datetime.now(UTC)
    with ops.write() as connection:
        raise_exceptions(connection, [dead(1), dead(2), dead(3)], now=now)
    with ops.read() as connection:
        ids = [one.id for one in untold(connection, "log", origin="check", priority="P1")]
    with ops.write() as connection:
        record_alerts(connection, ids[:2], "log", now=now)
        record_alerts(connection, ids[:2], "log", now=now)
    assert (told_of(), told_of("other")) == (1, 3)
    with ops.write() as connection:
        resolve(connection, [dead(1).trace_key, dead(2).trace_key], resolution="r", now=now)
        assert len(untold_recoveries(connection, "log", code="attempts_used_up")) == 2
        record_recovery(connection, ids[:2], "log", now=now)
        assert untold_recoveries(connection, "log", code="attempts_used_up") == []
