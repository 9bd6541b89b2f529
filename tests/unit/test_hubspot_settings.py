"""A HubSpot portal in a sync's YAML: which feeds it gives, and that no token stands there."""

import pytest
import yaml
from pydantic import ValidationError

from meshline_dagster.orchestration.components import CrmToErpSyncModel
from meshline_dagster.orchestration.connect import feed_specs
from meshline_dagster.warehouse.sources import LANDING_COLUMNS

SYNC = """
name: portal
origin: 2026-01-01
sources:
  - {type: hubspot, %s}
destination: {type: rest, sandbox: true}
"""


def settings(source):
    return CrmToErpSyncModel.model_validate(yaml.safe_load(SYNC % source))


def test_every_object_has_a_feed_of_changes_and_one_of_what_was_archived_and_a_model_reads_each(monkeypatch):
    specs = feed_specs(settings("instance: portal"))
    objects = ["companies", "products", "deals", "line_items"]
    assert [spec.name for spec in specs] == [f"portal/{name}{end}" for end in ("", "_archived") for name in objects]
    assert {spec.view for spec in specs} <= set(LANDING_COLUMNS)
    monkeypatch.setenv("MESHLINE_HUBSPOT_TOKEN", "a-token")
    assert [spec.connect().name for spec in specs] == [spec.name for spec in specs]


def test_a_token_that_was_written_there_is_refused_and_not_quoted():
    with pytest.raises(ValidationError, match="never written here") as caught:
        settings("token: pat-eu1-quite-secret")
    assert "quite-secret" not in str(caught.value)


def test_an_object_that_no_model_reads_is_refused():
    with pytest.raises(ValidationError, match="'companies', 'products'"):
        settings("objects: [contacts]")
