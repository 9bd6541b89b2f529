"""What the commands say when something is not as the operator thinks."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from typer.testing import CliRunner

from meshline_dagster.cli import app
from meshline_dagster.cli.money_text import amount_text, amounts_text
from meshline_dagster.core.errors import ConfigError
from meshline_dagster.store.engine import open_store
from meshline_dagster.store.exceptions import Finding, exception_amounts, open_codes, raise_exceptions

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MESHLINE_HOME", str(tmp_path))
    monkeypatch.delenv("MESHLINE_STORE_URL", raising=False)
    monkeypatch.delenv("MESHLINE_WAREHOUSE", raising=False)
    return tmp_path


@pytest.fixture
def store(home):
    store = open_store(f"sqlite:///{home / 'ops.db'}")
    yield store
    store.close()


def run(*arguments):
    done = CliRunner().invoke(app, list(arguments))
    return done.exit_code, done.output, done.exception


@pytest.mark.parametrize(
    "command", [["status"], ["resume"], ["exceptions", "list"], ["trace", "x"], ["audit", "verify"]]
)
def test_in_a_folder_without_a_store_a_command_says_so_and_makes_none(home, command):
    code, _, error = run(*command)
    assert code == 1
    assert isinstance(error, ConfigError)
    assert "there is no ops store at" in str(error)
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("command", [["pause"], ["catalog", "map", "a", "b"]])
def test_a_decision_before_the_first_run_makes_a_store_and_says_where(home, command):
    code, said, _ = run(*command)
    assert code == 0
    assert f"a new ops store: {home / 'ops.db'}" in said
    assert "a new ops store" not in run(*command)[1]


def test_a_pause_is_ended_by_its_own_name_and_status_shows_it(store):
    assert "`meshline resume sandbox` ends it" in run("pause", "sandbox", "--reason", "month end")[1]
    assert "(month end)" in run("status")[1]
    code, said, _ = run("resume")
    assert code == 1
    assert "sandbox is still paused (`meshline resume sandbox` ends that)" in said
    assert run("pause")[0] == 0
    code, said, _ = run("resume", "sandbox")
    assert code == 0
    assert "all is still paused (`meshline resume` ends that)" in said
    assert run("resume")[1] == "the pause of all is over: posting goes on with the next run\n"


def test_pausing_a_destination_that_the_ledger_does_not_know_asks_to_check_the_name(store):
    assert "check the name" in run("pause", "sandbx")[1]
    assert "check the name" not in run("pause")[1]


def test_before_the_first_run_status_says_that_its_figures_are_empty(store):
    assert "nothing has been derived yet" in run("status")[1]


def test_the_queue_counts_what_waits_by_reason_and_names_a_missing_currency(store):
    findings = [
        Finding(f"k{n}", "delivery", code, "A title", "detail", "fix", amount=Decimal("150866.92"), entity_key=f"e{n}")
        for n, code in enumerate(["rejected", "rejected", "unknown_customer"])
    ]
    with store.write() as connection:
        raise_exceptions(connection, findings, now=NOW)
    said = run("exceptions", "list", "--limit", "1")[1]
    assert "150,866.92 without currency" in said
    assert said.endswith("1 shown, 3 open: 2 rejected, 1 unknown_customer\n")
    with store.read() as connection:
        assert open_codes(connection) == {"rejected": 2, "unknown_customer": 1}
        assert exception_amounts(connection) == {"XXX": Decimal("452600.76")}


def test_amounts_have_their_currencys_decimals_one_line_each():
    assert amount_text(Decimal(1200), "JPY") == "1,200 JPY"
    amounts = {"XXX": Decimal(1), "USD": Decimal(10005534), "EUR": Decimal("0.5")}
    assert amounts_text(amounts) == "0.50 EUR\n10,005,534.00 USD\n1.00 without currency"
