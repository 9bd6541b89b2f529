"""What stands in an ops store of an earlier version, after the upgrade."""

import json
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy.exc import DBAPIError

from meshline_dagster.store import engine
from meshline_dagster.store.engine import open_store


def test_what_waited_for_one_master_waits_for_a_list_of_one_after_the_upgrade(new_store_url):
    store = open_store(new_store_url, migrate=False)
    config = Config()
    config.set_main_option("script_location", str(Path(engine.__file__).with_name("migrations")))
    columns = (
        "destination, entity_key, document_kind, event_id, revision, key, external_id, operation, event_time, shard, payload, "
        "fingerprint, amount, state, attempts, cause, created_at, updated_at, depends_on"
    )
    with store.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0010")
        for number, waits_for in enumerate(("'crm/account/\"1\"'", "NULL")):
            connection.exec_driver_sql(
                f"INSERT INTO posting ({columns}) VALUES ('erp', 'e{number}', 'sales_order', 'e{number}', 1, 'k{number}', 'x', 'create', "
                f"'2026-01-01', 0, '{{}}', 'f', 0, 'planned', 0, 'derived', '2026-01-01', '2026-01-01', {waits_for})"
            )
        command.upgrade(config, "head")
    with store.read() as connection:
        found = connection.exec_driver_sql("SELECT depends_on FROM posting ORDER BY id").scalars().all()
        assert [one and json.loads(one) for one in found] == [['crm/account/"1"'], None]
    with pytest.raises(DBAPIError, match="never changed"), store.write() as connection:
        connection.exec_driver_sql("UPDATE posting SET external_id = 'another'")
    with store.write() as connection:
        connection.exec_driver_sql(
            f"INSERT INTO posting ({columns}) VALUES ('erp', 'e', 'item', 'e', 1, 'k', '{'s' * 255}', 'create', '2026-01-01', 0, "
            "'{}', 'f', 0, 'planned', 0, 'derived', '2026-01-01', '2026-01-01', NULL)"
        )
    store.close()


def test_a_store_that_is_up_to_date_is_opened_without_alembic_and_an_older_one_with_it(new_store_url, monkeypatch):
    asked = []
    upgrade = command.upgrade
    monkeypatch.setattr(command, "upgrade", lambda config, to: asked.append(to) or upgrade(config, to))
    for _ in range(2):
        open_store(new_store_url).close()
    assert asked == ["head"]
    store = open_store(new_store_url, migrate=False)
    with store.write() as connection:
        connection.exec_driver_sql("DROP TABLE milestone")
        connection.exec_driver_sql("UPDATE meshline_schema_version SET version_num = '0016'")
    store.close()
    store = open_store(new_store_url)
    with store.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM milestone").scalar_one() == 0
    store.close()
    assert asked == ["head", "head"]
